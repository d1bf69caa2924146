"""Classical models (ai.onnx.ml) against ONNX Runtime: ensembles of random trees, linear models, what scales columns."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper

import isthmus
from isthmus.compiler.diagnostics import ModelError, UnsupportedError

RNG = np.random.default_rng(5)
X = RNG.integers(-2, 3, (40, 4)).astype(np.float32)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
NAMES = ["ant", "bee", "cat"]


def model_of(op: str, x: np.ndarray, outputs: int = 1, **attributes: Any) -> ModelProto:
    names = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(op, ["x"], names, domain="ai.onnx.ml", **attributes)
    given = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    results = [helper.make_empty_tensor_value_info(name) for name in names]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([node], op, [given], results)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def compare(x: np.ndarray, model: ModelProto) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = isthmus.compile(model).run([x])
    for array, want in zip(got.values(), session.run(None, {"x": x}), strict=True):
        assert array.shape == want.shape
        if want.dtype.kind == "f":
            assert array.dtype == want.dtype
            np.testing.assert_allclose(array, want, rtol=1e-5, atol=1e-6)
        else:
            assert array.tolist() == want.tolist()


def forest(kind: str, classes: int, several: bool, positive: bool = False, modes=MODES[:1]) -> dict[str, Any]:
    """Five trees of up to four levels; each leaf has a weight for one class, or one for each."""
    rng = np.random.default_rng(classes)
    nodes: dict[str, list[Any]] = {
        name: []
        for name in (
            *("treeids", "nodeids", "modes", "featureids", "values"),
            *("truenodeids", "falsenodeids", "missing_value_tracks_true"),
        )
    }
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree: int, depth: int, numbers: list[int]) -> int:
        number = numbers.pop()
        place = len(nodes["nodeids"])
        is_leaf = depth == 0 or (depth < 3 and rng.random() < 0.3)
        mode = "LEAF" if is_leaf else str(rng.choice(modes))
        row = (
            tree,
            number,
            mode,
            int(rng.integers(4)),
            float(rng.integers(-1, 2)),
            0,
            0,
            int(rng.integers(2)),
        )
        for name, value in zip(nodes, row, strict=True):
            nodes[name].append(value)
        if is_leaf:
            for target in range(classes) if several else [int(rng.integers(classes))]:
                weight = rng.random() / 5 if positive else rng.standard_normal()
                for name, value in zip(leaves, (tree, number, target, float(weight)), strict=True):
                    leaves[name].append(value)
        else:
            nodes["truenodeids"][place] = grow(tree, depth - 1, numbers)
            nodes["falsenodeids"][place] = grow(tree, depth - 1, numbers)
        return number

    for tree in range(5):
        grow(tree * 2, 3, rng.permutation(15).tolist())
    return {
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"{kind}_{name}": values for name, values in leaves.items()},
    }


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize(("targets", "how"), [(1, "SUM"), (3, "SUM"), (3, "AVERAGE"), (2, "MIN"), (2, "MAX")])
def test_regressors(targets: int, how: str, several: bool) -> None:
    trees = forest("target", targets, several)
    model = model_of("TreeEnsembleRegressor", X, n_targets=targets, aggregate_function=how, **trees)
    compare(X, model)


def test_regressors_with_missing_values_and_a_base() -> None:
    x = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype(np.float32)
    trees = forest("target", 2, True)
    compare(x, model_of("TreeEnsembleRegressor", x, n_targets=2, base_values=[0.5, -2.0], **trees))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("post", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("several", [True, False])
def test_classifiers(several: bool, post: str, dtype: type) -> None:
    x = X.astype(dtype)
    trees = forest("class", 3, several)
    model = model_of("TreeEnsembleClassifier", x, 2, classlabels_strings=NAMES, post_transform=post, **trees)
    compare(x, model)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_classifiers_of_two_with_weights_for_one(post: str, positive: bool) -> None:
    trees = forest("class", 1, True, positive)
    model = model_of("TreeEnsembleClassifier", X, 2, classlabels_int64s=[4, 7], post_transform=post, **trees)
    compare(X, model)


def test_nodes_of_all_modes() -> None:
    compare(X, model_of("TreeEnsembleRegressor", X, n_targets=1, **forest("target", 1, True, modes=MODES)))


DAMAGE = {
    "a node that there is not": ("nodes_truenodeids", 99),
    "target is not below 1": ("target_ids", 1),
    "round in a circle": ("nodes_falsenodeids", None),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_damaged_ensembles_are_refused(message: str) -> None:
    trees = forest("target", 1, True)
    name, value = DAMAGE[message]
    trees[name][0] = trees["nodes_nodeids"][0] if value is None else value
    with pytest.raises(ModelError, match=message):
        isthmus.read(model_of("TreeEnsembleRegressor", X, n_targets=1, **trees))


NUMBERS = RNG.standard_normal(12).astype(np.float32).tolist()


@pytest.mark.parametrize(
    ("op", "outputs", "attributes"),
    [
        ("LinearRegressor", 1, {"coefficients": NUMBERS[:8], "intercepts": [1.0, -1.0], "targets": 2}),
        (
            "LinearClassifier",
            2,
            {"coefficients": NUMBERS, "intercepts": NUMBERS[:3], "classlabels_ints": [3, 1, 2]},
        ),
        (
            "LinearClassifier",
            2,
            {
                "coefficients": NUMBERS,
                "intercepts": NUMBERS[3:6],
                "classlabels_strings": NAMES,
                "post_transform": "SOFTMAX",
            },
        ),
        ("Scaler", 1, {"offset": NUMBERS[:4], "scale": NUMBERS[4:8]}),
        ("Scaler", 1, {"offset": [0.5], "scale": [2.0]}),
        ("Normalizer", 1, {"norm": "L1"}),
        ("Normalizer", 1, {"norm": "L2"}),
        ("Normalizer", 1, {"norm": "MAX"}),
        ("Imputer", 1, {"imputed_value_floats": NUMBERS[:4], "replaced_value_float": 1.0}),
    ],
)
def test_models_without_trees(op: str, outputs: int, attributes: dict[str, Any]) -> None:
    compare(X, model_of(op, X, outputs, **attributes))


def test_an_imputer_of_missing_numbers() -> None:
    x = np.where(X > 1, np.nan, X).astype(np.float32)
    compare(x, model_of("Imputer", x, imputed_value_floats=[0.25], replaced_value_float=np.nan))


def test_dictionaries_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"dictionaries is no tensor; .*'zipmap': False"):
        isthmus.read(model_of("ZipMap", X, classlabels_int64s=[0, 1, 2, 3]))
