"""The IR's ops by family, for converters: `math.add(x, y)`, `control.if_(...)`, `nn.conv(...)`.

A trailing underscore keeps Python's keywords apart. An op that this build lacks is an error at the node that needs it.
"""

from ..compiler.diagnostics import UnsupportedError
from ..compiler.ops import REGISTRY, Op


class Family:
    """The ops whose names begin with `name.`, as attributes."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Op:
        full = f"{self._name}.{name.removesuffix('_')}"
        if full not in REGISTRY:
            raise UnsupportedError(f"it needs the op '{full}', which this build does not have")
        return REGISTRY[full]


math = Family("math")
reduce = Family("reduce")
nn = Family("nn")
shape = Family("shape")
quant = Family("quant")
control = Family("control")
random = Family("random")
sequence = Family("sequence")
optional = Family("optional")
text = Family("text")
detection = Family("detection")
