"""With torch itself: every model and program by module (compiled), by file and by TorchScript, against its results."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import isthmus  # noqa: E402
from isthmus.frontends.torch.convert import TABLE  # noqa: E402
from isthmus.frontends.torch.schema import MEMORY  # noqa: E402

from .conftest import FIXTURES, assert_close  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import models  # noqa: E402
import programs  # noqa: E402
import record  # noqa: E402

NAMES = [*models.MODELS, *programs.CASES]


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    """Name, module, inputs by name and torch's results."""
    module, inputs = record.make(request.param)
    return request.param, module, inputs, record.outputs(module, inputs)


@pytest.fixture
def exported(case):
    """The cases that torch.export can follow."""
    if case[0] in programs.CASES and not programs.CASES[case[0]].exported:
        pytest.skip("torch.export can't follow it")
    return case


def arrays(inputs) -> list[np.ndarray]:
    return [value.numpy() for value in inputs.values()]


def test_by_module_compiled(exported) -> None:
    name, module, inputs, want = exported
    given = inputs if name in models.MODELS else tuple(inputs.values())
    package = isthmus.compile(module, example_inputs=given)
    assert_close(package.run(arrays(inputs)), want)


def test_by_file(exported, tmp_path) -> None:
    name, module, inputs, want = exported
    path = tmp_path / "net.pt2"
    path.write_bytes(record.saved(record.export(name, module, inputs)))
    model = isthmus.read(path)
    assert_close(model.evaluate(arrays(inputs)), want)
    recorded = isthmus.read(FIXTURES / f"{name}.pt2")
    assert [str(t) for t in model.outputs.values()] == [str(t) for t in recorded.outputs.values()]


def test_by_script(case, tmp_path) -> None:
    name, module, inputs, want = case
    if name in programs.CASES and not programs.CASES[name].traced:
        pytest.skip("tracing follows one branch only")
    path = tmp_path / "net.pt"
    path.write_bytes(record.traced(module, inputs))
    model = isthmus.read(path)
    theirs = torch.jit.load(io.BytesIO(path.read_bytes()))(*inputs.values())
    want = [value.detach().numpy() for value in torch.utils._pytree.tree_leaves(theirs)]
    assert_close(model.evaluate(arrays(inputs)), want)


def _schemas(base: str, overload: str, forms) -> list:
    packet = getattr(torch.ops.aten, base)
    names = (
        [overload] if overload in packet.overloads() else [o for o in packet.overloads() if o not in forms]
    )
    schemas = [getattr(packet, name)._schema for name in names]
    return [
        s
        for s in schemas
        if any(str(a.type) in ("Tensor", "Optional[Tensor]", "List[Tensor]") for a in s.arguments)
    ]


@pytest.mark.parametrize("base", sorted(base for domain, base in TABLE.forms if domain == "aten"))
def test_signatures_are_schemas(base: str) -> None:
    """Each form fits at least one of torch's schemas: no parameter that it lacks, the same order by place."""
    forms = TABLE.forms["aten", base]
    for overload, form in forms.items():
        schemas = _schemas(base, overload, forms)
        assert schemas or base in (
            "bartlett_window",
            "blackman_window",
            "hamming_window",
            "hann_window",
            "zeros",
            "ones",
            "full",
            "empty",
            "eye",
            "arange",
            "linspace",
            "scalar_tensor",
            "tensor",
            "tril_indices",
            "triu_indices",
            "sym_size",
            "rand",
            "randn",
            "randint",
            "randperm",
            "_assert_scalar",
            "sym_constrain_range",
            "sym_constrain_range_for_size",
        ), base
        if not schemas:
            continue
        own = set(form.kinds) - MEMORY
        fitting = [s for s in schemas if {a.name for a in s.arguments if not a.is_out} - MEMORY <= own]
        assert fitting, f"{form.op}: {list(form.kinds)} fits none of {[str(s) for s in schemas]}"
        for schema in fitting:
            by_place = [a.name for a in schema.arguments if not a.kwarg_only and a.name in form.kinds]
            assert [name for name in form.places if name in by_place] == by_place, schema


def test_exported_program_keeps_open_dimensions() -> None:
    module, inputs = models.MODELS["gru"].make()
    program = torch.export.export(module, (), inputs, dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    package = isthmus.compile(program)
    for batch in (1, 3):
        x = torch.randn(batch, 7, 5)
        assert_close(package.run([x.numpy()]), record.outputs(module, {"x": x}))


def test_graph_module() -> None:
    module = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())).eval()
    x = torch.randn(2, 4)
    package = isthmus.compile(module, example_inputs=x)
    assert_close(package.run([x.numpy()]), [module(x).detach().numpy()])


def test_scripted_object() -> None:
    module, inputs = models.MODELS["gru"].make()
    script = torch.jit.trace(module, tuple(inputs.values()))
    assert_close(isthmus.read(script).evaluate(arrays(inputs)), record.outputs(module, inputs))


def test_weights_are_copied() -> None:
    module = torch.nn.Linear(3, 2).eval()
    x = torch.randn(1, 3)
    want = module(x).detach().numpy().copy()
    model = isthmus.read(module, example_inputs=x)
    with torch.no_grad():
        module.weight.zero_()
    assert_close(model.evaluate([x.numpy()]), [want])


class Branching(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count.add_(1)
        return x + self.count


@pytest.mark.parametrize(
    ("source", "given", "reason"),
    [
        (Branching(), torch.ones(2), "Branching: torch.export can't trace it"),
        (Branching(), None, "a module has no graph until it is called; give example_inputs="),
        (torch.ones(2), None, "hold no graph"),
        (torch.nn.Linear(2, 2).state_dict(), None, "hold no graph"),
        (Counting(), torch.ones(1), "packages keep no state"),
        (torch.nn.Dropout(), torch.ones(2), "it draws random numbers; call model.eval()"),
        (torch.nn.BatchNorm1d(2), torch.ones(3, 2), "packages keep no state"),
    ],
    ids=lambda value: None,
)
def test_refused(source, given, reason) -> None:
    with pytest.raises(isthmus.IsthmusError) as caught:
        isthmus.read(source, example_inputs=given)
    assert reason in str(caught.value)
