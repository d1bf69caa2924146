"""Recurrences of torch: what only training does is refused."""

import pytest

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.frontends.torch.convert.recurrent import require_evaluation


def test_values_dropped_at_random_between_layers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="drops out random values"):
        require_evaluation(train=True, dropout=0.5, num_layers=2)


@pytest.mark.parametrize(("train", "dropout", "layers"), [(False, 0.5, 2), (True, 0.0, 2), (True, 0.5, 1)])
def test_dropout_that_drops_nothing_is_taken(train: bool, dropout: float, layers: int) -> None:
    require_evaluation(train, dropout, layers)
