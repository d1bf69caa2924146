"""What engines cost: the mapping that is chosen for a product, and operations that go together."""

from math import ceil

import pytest

from isthmus.compiler.stream.programs import Machine
from isthmus.compiler.target.description import Dataflow, Engine
from isthmus.compiler.tile.products import Product, product
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.work import body_cost, mapping_costs
from isthmus.targets import find_backend

RESIDUAL = """kernel "residual" {
  input a: i32[8, 16]  input x: i8[8, 16]  output y: i8[8, 16]
  stage s (i: 8, c: 16): y[i, c] = requantize(add(add(cast(requantize(a[i, c], 3:i32, 2:i32, 1:i32):i8):i32,
    mul(cast(x[i, c]):i32, 7:i32)), 99:i32), 1:i32, 4:i32, 0:i32):i8
}"""


def any_product() -> Product:
    kernel = parse_kernel(
        'kernel "m" { input a: i8[4, 4] constant b: i8[4, 4] output y: i32[4, 4] '
        "stage s (m: 4, n: 4, reduce k: 4): y[m, n] = sum mul(cast(a[m, k]):i32, cast(b[k, n]):i32) }"
    )
    found = product(kernel, kernel.stages[0], ("i8*i8+i32",))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("m", "n", "k", "mapping"),
    [
        (49, 512, 4608, "os"),
        (3136, 24, 96, "ws_diagonal4"),
        (3136, 64, 576, "os_cols2"),
        (3136, 128, 128, "ws"),
        (128, 128, 1152, "ws"),
    ],
)
def test_a_chip_whose_array_can_be_cut_in_groups_does_so_where_it_is_quicker(m, n, k, mapping):
    """Maps of 7 x 7 leave most rows of a 128 x 128 array idle, 64 channels half of its columns, 24 most of them."""
    array = find_backend("n1-128").target({}).engine("contract")
    costs = dict(zip(array.mapping, mapping_costs(array, any_product(), m, 1, n, k, ceil(k / array.rows))))
    assert min(costs, key=lambda name: costs[name]) == mapping


def test_a_fold_lasts_until_the_sums_before_it_have_left():
    array = find_backend("n1-128").target({}).engine("contract")
    costs = dict(zip(array.mapping, mapping_costs(array, any_product(), 128, 1, 128, 8, 1)))
    assert costs["os"] == array.rows
    assert costs["os_cols2"] == 2 * array.rows


def test_runs_of_a_sum_fill_blocks_of_the_array_one_by_one():
    array = find_backend("n1-128").target({}).engine("contract")
    costs = dict(zip(array.mapping, mapping_costs(array, any_product(), 400, 1, 32, 27, 3, 3)))
    assert costs["ws_diagonal4"] == 3 * 100
    assert costs["ws"] == 3 * 400


def test_the_predicted_operations_of_a_body_are_those_of_its_program():
    kernel = parse_kernel(RESIDUAL)
    types = ("i32", "f32", "i64")
    names = ("copy", "cast", "add", "mul", "mac", "requantize", "rescale")
    machine = Machine(dict.fromkeys(names, types), ("i8", "i32"), 16, 7, 16, 32)
    body = machine.body(kernel.stages[0], kernel.buffer("y").dtype)
    assert [each.op for each in body.operations] == ["mac", "requantize", "rescale"]
    assert body_cost(kernel.stages[0], Engine("vec", "elementwise", lanes=8, mac_per_cycle=8)) == 3


@pytest.mark.parametrize(("dtype", "cycles"), [("i32", 0.25), ("f32", 2)])
def test_windows_of_integers_alone_run_at_the_rate_of_products(dtype, cycles):
    kernel = parse_kernel(
        f'kernel "w" {{ input x: {dtype}[8, 9] input w: {dtype}[8, 9] output y: {dtype}[8] '
        "stage s (n: 8, reduce k: 9): y[n] = sum mul(x[n, k], w[n, k]) }"
    )
    vec = Engine("vec", "elementwise", lanes=8, mac_per_cycle=32)
    assert body_cost(kernel.stages[0], vec) == cycles


def test_a_mapping_is_data_alone():
    slow = Dataflow("only", "10*m*n_tiles*k_tiles")
    array = Engine("array", "contract", rows=4, cols=4, mapping={"only": slow})
    assert mapping_costs(array, any_product(), 5, 1, 8, 4, 1) == [100]
