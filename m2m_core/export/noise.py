"""The noise of `models.noise` once more in torch, so that it can be part of an exported program."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models import geometry
from ..models.noise import APART, FACTORS, ODD, SHIFTS

__all__ = ["Noise"]


class Noise(nn.Module):
    """The twin of `models.noise.normal`: 64 bits are signed here, and a shift to the right is cleared of the sign."""

    def __init__(self, levels: Sequence[geometry.Noise]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, x: Tensor, place: Tensor) -> tuple[Tensor, ...]:
        """(1, C, *n), int64 of (seed, first voxel along each axis, period along each axis or 0) -> (1, 1, *m) each."""
        seed, *ends = place.unbind()
        starts, periods = ends[: x.ndim - 2], ends[x.ndim - 2 :]
        return tuple(self._level(number, x, seed, starts, periods) for number in range(len(self.levels)))

    def _level(
        self, number: int, x: Tensor, seed: Tensor, starts: Sequence[Tensor], periods: Sequence[Tensor]
    ) -> Tensor:
        level = self.levels[number]
        state = _mixed(seed + _signed(ODD)) ^ number
        for start, edge, period in zip(starts, x.shape[2:], periods, strict=True):
            places = level.scale * start + level.cut + torch.arange(level.scale * edge - 2 * level.cut, device=x.device)
            places = torch.where(period > 0, places % (level.scale * period).clamp_min(1), places)
            state = _mixed(state[..., None] + _signed(ODD) * (places + 1))
        radius = torch.sqrt(-2 * torch.log(_uniform(_mixed(state))))
        values = radius * torch.cos(2 * torch.pi * _uniform(_mixed(state ^ _signed(APART))))
        return values.to(x.dtype)[None, None]


def _mixed(x: Tensor) -> Tensor:
    for shift, factor in zip(SHIFTS, FACTORS, strict=False):
        x = (x ^ _shifted(x, int(shift))) * _signed(factor)
    return x ^ _shifted(x, int(SHIFTS[-1]))


def _uniform(x: Tensor) -> Tensor:
    return (_shifted(x, 11) + 1).double() / 2.0**53


def _shifted(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & (2 ** (64 - bits) - 1)


def _signed(bits: int) -> int:
    return (int(bits) + 2**63) % 2**64 - 2**63
