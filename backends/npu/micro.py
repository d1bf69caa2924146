"""The operations of n1's vector programs, in the order of their numbers."""

from ...runtime.sim.operations import OPERATIONS

MICRO_OPS = {
    name: OPERATIONS[name]
    for name in (
        *(
            "copy",
            "cast",
            "add",
            "sub",
            "mul",
            "mac",
            "max",
            "min",
            "neg",
            "abs",
            "bit_and",
            "bit_or",
            "bit_xor",
        ),
        *(
            "shift_left",
            "shift_right",
            "lt",
            "le",
            "eq",
            "where",
            "requantize",
            "rescale",
            "scaled",
            "lookup",
            "div",
            "isqrt",
        ),
        *("sqrt", "rsqrt", "exp", "tanh", "erf", "floor", "round", "log"),
    )
}
