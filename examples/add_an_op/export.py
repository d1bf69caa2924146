"""Makes soft_limit.pt2 beside this file: a network with an op that PyTorch knows by registration only."""

from pathlib import Path

import torch
from torch import nn


@torch.library.custom_op("acme::soft_limit", mutates_args=())
def soft_limit(x: torch.Tensor, bound: float) -> torch.Tensor:
    return x / x.abs().clamp(min=bound)


@soft_limit.register_fake
def _(x: torch.Tensor, bound: float) -> torch.Tensor:
    return torch.empty_like(x)


class Net(nn.Module):
    """A linear layer, then the op."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.ops.acme.soft_limit(self.linear(x), 0.5))


def main() -> None:
    torch.manual_seed(0)
    program = torch.export.export(Net().eval(), (torch.randn(2, 4),))
    torch.export.save(program, Path(__file__).with_name("soft_limit.pt2"))


if __name__ == "__main__":
    main()
