"""The interpreter of TorchScript's code: what it follows, and what it refuses with the line."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus import IsthmusError

ATTRIBUTES = {"training": False, "layers": 3, "scale": 0.5}
# A pickle of protocol 2: the class, made without arguments, then given its attributes.
MODULE = b"\x80\x02c__torch__.net\nNet\n)\x81" + pickle.dumps(ATTRIBUTES, 2)[2:-1] + b"b."


def script(path: Path, body: str) -> Path:
    """An archive whose module has this `forward(self, x: Tensor, y: Tensor)`, without traced inputs."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    code = (
        "class Net(Module):\n  training : bool\n  layers : int\n  scale : float\n"
        f"  def forward(self: __torch__.net.Net,\n    x: Tensor,\n    y: Tensor) -> Tensor:\n{lines}\n"
        "def helper(x: Tensor,\n    times: int=2) -> Tensor:\n  return torch.mul(x, times)\n"
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", MODULE)
        file.writestr("net/constants.pkl", pickle.dumps((), 2))
        file.writestr("net/code/__torch__/net.py", code)
    return path


def run(path: Path, body: str) -> np.ndarray:
    model = isthmus.read(script(path, body), shapes={"x": (2, 3), "y": (2, 3)})
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (out,) = model.evaluate([x, x[::-1].copy()]).values()
    return out


X = np.arange(6, dtype=np.float32).reshape(2, 3)

FOLLOWED = {
    "attributes": ("return torch.mul(x, self.scale)", X * 0.5),
    "branch": ("if self.training:\n  _0 = x\nelse:\n  _0 = torch.neg(x)\nreturn _0", -X),
    "loop": ("z = x\nfor i in range(self.layers):\n  z = torch.add(z, i)\nreturn z", X + 3),
    "while": (
        "n = 0\nz = x\nwhile torch.lt(n, 2):\n  z = torch.add(z, z)\n  n = torch.add(n, 1)\nreturn z",
        X * 4,
    ),
    "lists": (
        "_0 = [x, y]\n_1 = torch.append(_0, x)\nreturn torch.sum(torch.stack(_0, 0), [0])",
        X * 2 + X[::-1],
    ),
    "tuples": ("_0, _1, _2, = torch.split(x, 1, 1)\nreturn torch.cat([_2, _0], 1)", X[:, [2, 0]]),
    "items": ("_0 = torch.split(x, 1, 1)\nreturn _0[1]", X[:, 1:2]),
    "functions": ("return __torch__.net.helper(x, 3, )", X * 3),
    "defaults": ("return __torch__.net.helper(x, )", X * 2),
    "sizes": (
        "_0 = int(ops.prim.NumToTensor(torch.size(x, 1)))\nreturn torch.view(x, [_0, -1])",
        X.reshape(3, 2),
    ),
    "whole_size": ("return torch.view(torch.neg(x), torch.size(y))", -X),
    "none": ("_0 = None\nif torch.__is__(_0, None):\n  _1 = x\nelse:\n  _1 = y\nreturn _1", X),
    "checks": (
        "if torch.ne(torch.dim(x), 2):\n  ops.prim.RaiseException('no')\nelse:\n  pass\nreturn torch.abs(x)",
        X,
    ),
    "chosen_checks": (
        "if torch.ne(torch.dim(x), 3):\n  _0 = torch.ne(torch.dim(x), 2)\nelse:\n  _0 = False\n"
        "if _0:\n  ops.prim.RaiseException('no')\nelse:\n  pass\nreturn torch.relu_(torch.neg(x))",
        np.zeros_like(X),
    ),
    "dtype_of_another": ("return torch.to(x, dtype=ops.prim.dtype(y))", X),
    "conditional_expression": ("return torch.neg(x) if torch.gt(self.layers, 2) else x", -X),
    "python_operators": (
        "_0 = self.layers + 1\nreturn torch.mul(x, -_0) if not self.training and _0 > 3 else x",
        X * -4,
    ),
    "in_place": (
        "_0 = torch.clone(x)\n_1 = torch.select(_0, 0, 1)\n_2 = torch.zero_(_1)\nreturn _0",
        X * [[1], [0]],
    ),
}

REFUSED = {
    "data": (
        "if bool(torch.gt(torch.sum(x), 0)):\n  _0 = x\nelse:\n  _0 = y\nreturn _0",
        "its control flow depends on data",
    ),
    "while": (
        "z = x\nwhile bool(torch.any(z)):\n  z = torch.neg(z)\nreturn z",
        "'while bool(torch.any(z)):'",
    ),
    "state": ("self.count = x\nreturn x", "'self.count' is set, and modules keep no state"),
    "statement": ("del x\nreturn y", "'del x' is not followed"),
    "expression": ("return (lambda: x)()", "is not followed"),
    "object": ("return __torch__.net.Net(x)", "an object of '__torch__.net.Net' is made"),
    "missing": ("return __torch__.net.absent(x)", "the archive's code lacks '__torch__.net.absent'"),
    "method": ("return (self).backward(x, )", "has no method 'backward'"),
    "result": ("return 'text'", "it returns 'text', which is no tensor"),
    "endless": ("n = 0\nwhile True:\n  n = 1\nreturn x", "it takes more than"),
    "recursion": ("return (self).forward(x, y, )", "call one another more than"),
    "op": ("return torch.frobnicate(x)", "aten.frobnicate is not supported: this build has no converter"),
    "input_changed": ("_0 = torch.add_(x, 1)\nreturn _0", "changes 'x', an input or a weight"),
    "list_method": ("_0 = [x]\n_1 = (_0).pop()\nreturn x", "the method 'pop' is not followed"),
    "unknown_length": (
        "_0 = torch.len(torch.split(x, 1))\nreturn x",
        "the length of a list that is computed",
    ),
    "operands": ("_0 = torch.sub([1], 2)\nreturn x", "'sub' does not fit what it is given"),
    "long_range": ("_0 = torch.range(0, 9000000000)\nreturn x", "makes a list of 9000000000 items"),
    "long_list": ("_0 = torch.mul([1], 9000000000)\nreturn x", "makes a list of 9000000000 items"),
    "negative_item": ("_0 = torch.split(x, 1)\nreturn _0[-1]", "element -1 of a list of unknown length"),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed(tmp_path, name) -> None:
    body, want = FOLLOWED[name]
    np.testing.assert_allclose(run(tmp_path / "net.pt", body), want)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name, monkeypatch) -> None:
    monkeypatch.setattr("isthmus.frontends.torch.interpreter.MOST_STEPS", 500)
    body, reason = REFUSED[name]
    with pytest.raises(IsthmusError) as caught:
        run(tmp_path / "net.pt", body)
    assert str(caught.value).startswith("net.pt")
    assert reason in str(caught.value)


def test_a_script_without_shapes_asks_for_them(tmp_path) -> None:
    with pytest.raises(IsthmusError, match="give its shape"):
        isthmus.read(script(tmp_path / "net.pt", "return x"))
