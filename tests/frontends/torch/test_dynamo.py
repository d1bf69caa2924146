"""`torch.compile(model, backend="isthmus")`: right for every shape, no leak from call to call, fallbacks logged."""

import logging
import resource

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

nn, functional = torch.nn, torch.nn.functional


class Block(nn.Module):
    """Writes to its own values, attention, sizes that depend on the input's."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        y = self.inner(x).relu_()
        y = self.norm(y)
        y.add_(1)
        z = functional.scaled_dot_product_attention(y[None], y[None], y[None])[0]
        return z.reshape(x.shape[0] * 2, -1) * x.shape[0], y.sum(0)


def close(got, want) -> None:
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture
def compiled():
    torch._dynamo.reset()
    torch.manual_seed(0)
    module = Block().eval()
    yield module, torch.compile(module, backend="isthmus")
    torch._dynamo.reset()


def test_ten_shapes_in_two_hundred_calls_leak_nothing(compiled, caplog) -> None:
    module, fast = compiled
    inputs = [torch.randn(n, 8) for n in range(3, 13)]
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        for x in inputs * 5:
            close(fast(x), module(x))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for x in inputs * 15:
            close(fast(x), module(x))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2048, f"{grown} KiB"
    assert not caplog.records


def test_changed_weights_are_seen(compiled) -> None:
    module, fast = compiled
    x = torch.randn(4, 8)
    with torch.no_grad():
        close(fast(x), module(x))
        module.inner.weight.mul_(2)
        close(fast(x), module(x))
        module.norm.weight = nn.Parameter(torch.ones(8) * 3)
        close(fast(x), module(x))


def test_results_belong_to_the_caller(compiled) -> None:
    module, fast = compiled
    x = torch.randn(4, 8)
    with torch.no_grad():
        first = fast(x)[0]
        first.zero_()
        close(fast(x), module(x))


def test_layouts_without_a_copy_and_with_one(compiled) -> None:
    module, fast = compiled
    x = torch.randn(8, 6).t()
    with torch.no_grad():
        close(fast(x), module(x))
        wide = torch.randn(12, 8)[::2]
        close(fast(wide), module(wide))


def fallen_back(function, arguments, caplog) -> str:
    torch._dynamo.reset()
    fast = torch.compile(function, backend="isthmus")
    with caplog.at_level(logging.WARNING, "isthmus.dynamo"):
        got = fast(*arguments)
    want = function(*arguments)
    close(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,))
    return caplog.text


def test_gradients_fall_back(caplog) -> None:
    module = nn.Linear(3, 2)
    assert "gradients are asked for" in fallen_back(module, (torch.randn(2, 3),), caplog)
    assert module(torch.randn(2, 3)).requires_grad


def test_unsupported_ops_fall_back(caplog) -> None:
    text = fallen_back(lambda x: torch.linalg.inv(x), (torch.eye(3) * 2,), caplog)
    assert "a graph of 1 calls runs in PyTorch: " in text
    assert "aten.linalg_inv is not supported" in text


def test_shared_memory_falls_back(caplog) -> None:
    assert "shares memory" in fallen_back(lambda x: (x * 2, x.view(-1)), (torch.ones(2, 2),), caplog)


def test_changed_arguments_fall_back(caplog) -> None:
    def function(x):
        x.add_(1)
        return x * 2

    x = torch.ones(3)
    torch._dynamo.reset()
    with caplog.at_level(logging.WARNING, "isthmus.dynamo"):
        y = torch.compile(function, backend="isthmus")(x)
    close((x, y), (torch.full((3,), 2.0), torch.full((3,), 4.0)))
    assert "changes" in caplog.text


def test_graph_breaks_keep_the_rest() -> None:
    torch._dynamo.reset()

    def function(x):
        y = torch.relu(x) + 1
        if y.sum() > 5:
            return y * 2
        return y - 1

    fast = torch.compile(function, backend="isthmus")
    for scale in (0.1, 10.0):
        x = torch.full((4,), scale)
        close((fast(x),), (function(x),))


def test_unknown_options_are_refused() -> None:
    torch._dynamo.reset()
    with pytest.raises(Exception, match="unknown options: tarjet"):
        torch.compile(lambda x: x + 1, backend="isthmus", options={"tarjet": "cpu"})(torch.ones(2))


def test_half_precision() -> None:
    torch._dynamo.reset()
    fast = torch.compile(lambda x: torch.nn.functional.silu(x) * 2, backend="isthmus")
    x = torch.randn(5).bfloat16()
    torch.testing.assert_close(fast(x), torch.nn.functional.silu(x) * 2, rtol=2e-2, atol=1e-2)
