"""What the interpreters do: whole kernels against numpy, tiles, rings, lags, and what they refuse."""

from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.tile import interpret
from isthmus.compiler.tile.check import check
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.interpret import run_tiled
from isthmus.compiler.tile.stage import Kernel, Stage
from isthmus.compiler.tile.text import parse_kernel, parse_schedule
from isthmus.compiler.tile.untiled import run_untiled

KERNELS = Path(__file__).parent / "kernels"


def kernel_of(name: str) -> Kernel:
    return parse_kernel((KERNELS / f"{name}.kernel").read_text())


def arrays_of(kernel: Kernel) -> dict[str, np.ndarray]:
    return draw_arrays(kernel, np.random.default_rng(3))


def conv(x: np.ndarray, w: np.ndarray, stride: int, pad: int, rows: int, columns: int) -> np.ndarray:
    """x [b, h, w, c], w [kh, kw, c, o] by loops over the window."""
    padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    total = 0
    for kh, kw in np.ndindex(w.shape[:2]):
        part = padded[:, kh : kh + stride * rows : stride, kw : kw + stride * columns : stride]
        total = total + part[:, :rows, :columns] @ w[kh, kw]
    return total


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def test_convolution_with_residual() -> None:
    kernel = kernel_of("conv_residual")
    a = arrays_of(kernel)
    want = np.maximum(conv(a["x"], a["w"], 2, 1, 5, 4) + a["bias"] + a["r"], 0)
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], want, rtol=1e-5, atol=1e-5)


def test_attention_plain_and_causal() -> None:
    kernel = kernel_of("attention")
    a = arrays_of(kernel)
    want = softmax(a["q"] @ a["k"].swapaxes(1, 2)) @ a["v"]
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], want, rtol=1e-5, atol=1e-6)
    kernel = kernel_of("causal_attention")
    a = arrays_of(kernel)
    scores = np.where(np.tri(7, dtype=bool), a["q"] @ a["k"].T / 2, -np.inf)
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], softmax(scores) @ a["v"], rtol=1e-5, atol=1e-6)


def test_layer_norm_and_softmax() -> None:
    kernel = kernel_of("layer_norm")
    a = arrays_of(kernel)
    x = a["x"]
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3) * a["g"]
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], want, rtol=1e-4, atol=1e-5)
    kernel = kernel_of("softmax")
    a = arrays_of(kernel)
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], softmax(a["x"]), rtol=1e-5, atol=1e-6)


def test_a_recurrence_steps_its_stages_together() -> None:
    kernel = kernel_of("rnn")
    a = arrays_of(kernel)
    got = run_untiled(kernel, a)
    state = np.zeros((2, 4), np.float32)
    for step in range(5):
        state = np.tanh(a["x"][step] @ a["w"] + state @ a["u"])
        np.testing.assert_allclose(got["y"][step], state, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got["last"], got["y"][4])


def test_lookups_fills_and_dropped_writes() -> None:
    kernel = kernel_of("gather")
    a = {**arrays_of(kernel), "order": np.array([5, 0, 6, -1, 2, 2], np.int32)}
    got = run_untiled(kernel, a)
    table = a["table"][a["ids"]] * 2
    np.testing.assert_array_equal(got["z"][[0, 1, 4, 5]], table[[5, 0, 2, 2]])
    np.testing.assert_array_equal(got["z"][[2, 3]], 7)
    kernel = kernel_of("transposed")
    a = arrays_of(kernel)
    full = np.zeros((14, 2), np.float32)
    for place in range(5):
        full[2 * place : 2 * place + 4] += np.einsum("c,kcf->kf", a["x"][place], a["w"])
    np.testing.assert_allclose(run_untiled(kernel, a)["y"], np.maximum(full[1:11], 0), rtol=1e-5, atol=1e-5)


def test_a_lookup_outside_is_refused() -> None:
    kernel = kernel_of("gather")
    with pytest.raises(VerifyError, match="'table' of shape"):
        run_untiled(kernel, {**arrays_of(kernel), "ids": np.full(6, 11)})


def test_narrow_sums_are_formed_in_f32() -> None:
    text = 'kernel "k" { input x: TYPE[300] output y: TYPE[] stage s (reduce i: 300): y[] = sum x[i] }'
    for name, dtype in (("f16", np.float16), ("bf16", ml_dtypes.bfloat16)):
        kernel = parse_kernel(text.replace("TYPE", name))
        x = np.full(300, 1.25, dtype)
        assert float(run_untiled(kernel, {"x": x})["y"]) == float(dtype(375))
        schedule = parse_schedule("hold y in m for i step 7 hold y in r place s on e")
        assert float(run_tiled(kernel, schedule, {"x": x})["y"]) == float(dtype(375))


def test_big_domains_are_cut() -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: i64[300, 5] output y: i64[300, 300] '
        "stage s (i: 300, j: 300, reduce k: 5, reduce l: 20): y[i, j] = sum mul(x[i, k], x[j, k]) }"
    )
    x = np.arange(1500).reshape(300, 5)
    np.testing.assert_array_equal(run_untiled(kernel, {"x": x})["y"], x @ x.T * 20)


def test_empty_domains_give_identities() -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: f32[3, 0] output y: f32[3] stage s (i: 3, reduce j: 0): y[i] = max x[i, j] }'
    )
    x = {"x": np.zeros((3, 0), np.float32)}
    assert (run_untiled(kernel, x)["y"] == -np.inf).all()
    assert (
        run_tiled(kernel, parse_schedule("for i step 2 hold x in m place s on e"), x)["y"] == -np.inf
    ).all()


def test_symbols_take_their_values_from_the_arrays() -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: f32[N, 2] output y: f32[2*N] stage s (i: N, j: 2): y[2*i + j] = x[i, j] }'
    )
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(run_untiled(kernel, {"x": x})["y"], x.ravel())
    np.testing.assert_array_equal(
        run_tiled(kernel, parse_schedule("for i step 2 place s on e"), {"x": x})["y"], x.ravel()
    )
    with pytest.raises(VerifyError, match="has shape"):
        run_untiled(kernel, {"x": np.zeros((5, 3), np.float32)})
    with pytest.raises(VerifyError, match="has rank 2, its array rank 1"):
        run_untiled(kernel, {"x": np.zeros(5, np.float32)})


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the points that each stage computes."""
    count: Counter[str] = Counter()
    evaluate = interpret.evaluate

    def counting(stage: Stage, box: dict[str, tuple[int, int]], storages: object) -> np.ndarray:
        count[stage.name] += int(np.prod([size for _, size in box.values()]))
        return evaluate(stage, box, storages)  # type: ignore[arg-type]

    monkeypatch.setattr(interpret, "evaluate", counting)
    return count


def test_rings_compute_each_row_once(computed: Counter[str]) -> None:
    kernel = kernel_of("inverted_residual")
    a = arrays_of(kernel)
    text = (
        "for oh step 2 hold a in m ROLL hold h in m ROLL hold d in m hold p in m "
        "place expand, relu, depthwise, project, residual on e"
    )
    want = run_untiled(kernel, a)["y"]
    counts = []
    for roll in ("", "roll oh"):
        schedule = parse_schedule(text.replace("ROLL", roll))
        assert not check(kernel, schedule)
        np.testing.assert_allclose(run_tiled(kernel, schedule, a)["y"], want, rtol=1e-5, atol=1e-5)
        counts.append(computed["relu"] // (7 * 5))
        computed.clear()
    assert counts == [14, 8]  # rows: each tile of 2 with a halo of 1, clipped at the borders; or all 8 once


def test_rings_follow_lags(computed: Counter[str]) -> None:
    kernel = kernel_of("cascade")
    a = arrays_of(kernel)
    text = (
        "for t step 1 hold a in m SLOTS roll t hold c in m slots 3 roll t "
        "place conv1 on e place conv2 on e lag 1 place pool on e lag 3"
    )
    legal, short = (parse_schedule(text.replace("SLOTS", slots)) for slots in ("slots 2", ""))
    assert not check(kernel, legal)
    np.testing.assert_allclose(
        run_tiled(kernel, legal, a)["y"], run_untiled(kernel, a)["y"], rtol=1e-5, atol=1e-5
    )
    assert computed["conv1"] == 15 * 4 * 9
    assert check(kernel, short)


def test_a_flash_attention_is_repaired_across_lags() -> None:
    kernel = kernel_of("attention")
    a = arrays_of(kernel)
    schedule = parse_schedule(
        """
        for b step 1 parallel
          for i step 3
            hold q in spa slots 2 hold y in spa slots 2 hold m in spa hold l in spa slots 3 hold o in acc slots 2
            place dv on vec lag 3
            for j step 4
              hold k in spw slots 2 hold v in spw slots 4 hold s in acc slots 2 hold e in spa slots 2
              place qk on mxu m=(i) n=(j) k=(d)
              place mx, ex, sm on vec lag 1
              place pv on mxu lag 2 m=(i) n=(f) k=(j)
        """
    )
    assert not check(kernel, schedule)
    np.testing.assert_allclose(
        run_tiled(kernel, schedule, a)["y"], run_untiled(kernel, a)["y"], rtol=1e-5, atol=1e-6
    )


def test_ribs_cut_blocks(computed: Counter[str]) -> None:
    kernel = kernel_of("conv_residual")
    a = arrays_of(kernel)
    schedule = parse_schedule("hold acc in m place conv on e b/1 oh/2 oh/1 kh/2 ci/1 place epi on e co/2:2")
    assert not check(kernel, schedule)
    np.testing.assert_allclose(
        run_tiled(kernel, schedule, a)["y"], run_untiled(kernel, a)["y"], rtol=1e-5, atol=1e-5
    )
    assert computed["conv"] == 2 * 5 * 4 * 5 * 27


@pytest.mark.parametrize(
    ("kernel", "schedule", "message"),
    [
        ("conv_residual", "place conv, epi on e", "'acc' is used where no hold of it is open"),
        (
            "conv_residual",
            "for oh step 2 hold acc in m slots 2 place conv on e place epi on e lag 2",
            "'acc' is used while its slot holds another tile",
        ),
        (
            "matmul",
            "hold y in m for k step 4 parallel place mm on e",
            "two iterations of a parallel loop write one element",
        ),
        (
            "transposed",
            "for r step 1 hold acc in m hold y in m place conv, out on e",
            "output 'y' is given elements",
        ),
    ],
)
def test_what_goes_wrong_is_said(kernel: str, schedule: str, message: str) -> None:
    built = kernel_of(kernel)
    with pytest.raises(VerifyError, match=message):
        run_tiled(built, parse_schedule(schedule), arrays_of(built))
