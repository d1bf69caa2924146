"""Which calls become one kernel: those that are predicted to gain by it, and may."""

from dataclasses import replace

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.location import NOWHERE
from isthmus.compiler.stream.chains import Costs, divide, joined
from isthmus.compiler.target.backend import Arena, Call
from isthmus.compiler.tile.text import parse_kernel

STEP = 'kernel "step" { input x: i8[64] output y: i8[64] stage s (i: 64): y[i] = neg(x[i]) }'


def call(name: str, read: int, written: int, readers: int = 1) -> Call:
    operands = {"x": Arena(read, readers), "y": Arena(written, readers)}
    return Call(parse_kernel(STEP), operands, NOWHERE, name)


def chain(*readers: int) -> list[Call]:
    return [call("abcdef"[n], 64 * n, 64 * (n + 1), each) for n, each in enumerate(readers)]


def linked(calls: list[Call]) -> list[Call]:
    """Each call reading what the one before wrote."""
    out = [calls[0]]
    for each in calls[1:]:
        out.append(replace(each, operands={**each.operands, "x": out[-1].operands["y"]}))
    return out


def taking(cycles: dict[str, float]):
    def cost(each: Call) -> Costs:
        if each.name not in cycles:
            raise UnsupportedError("no tiles fit")
        return Costs(cycles[each.name], {"vec": 1.0})

    return cost


def names(calls: list[Call], cycles: dict[str, float]) -> list[tuple[str, int]]:
    return [(each.name, count) for each, count in divide(calls, taking(cycles))]


def test_the_cheapest_division_is_taken():
    single = dict.fromkeys("abc", 10.0)
    assert names(linked(chain(1, 1, 1)), single) == [("a", 1), ("b", 1), ("c", 1)]
    assert names(linked(chain(1, 1, 1)), {**single, "a+b": 12.0, "b+c": 11.0}) == [("a", 1), ("b+c", 2)]
    assert names(linked(chain(1, 1, 1)), {**single, "a+b": 12.0, "b+c": 11.0, "a+b+c": 20.0}) == [
        ("a+b+c", 3)
    ]


def test_kernels_that_gain_next_to_nothing_stay_apart():
    assert names(linked(chain(1, 1)), {"a": 10.0, "b": 10.0, "a+b": 19.9}) == [("a", 1), ("b", 1)]


def test_what_others_read_too_goes_home():
    assert joined(linked(chain(1, 1))) is not None
    assert joined(linked(chain(2, 1))) is None
    assert joined(chain(1, 1, 1)[::2]) is None


def test_a_result_must_not_lie_where_operands_are_still_read():
    first, second = linked(chain(1, 1))
    over = replace(second, operands={**second.operands, "y": Arena(32, 1)})
    assert joined([first, over]) is None
