"""Sums into bins whose bits do not depend on the order in which a device adds: whole numbers instead of floats.

Each row of values is multiplied by a power of two so great that the sum of all of them stays below 2^62, rounded to
int64 and added: with n values the error of each is 2^-62 n of the greatest, far below float32. Atomic additions of
integers commute, those of floats do not, so a GPU gives the same bits each time without sorting.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["binned", "scale_of"]

ROOM = 62  # bits of a sum, besides its sign
LEAST = -900  # power of two below which values are nothing: a greater scale would not be finite


def scale_of(largest: Tensor, count: int) -> Tensor:
    """Powers of two, float64, with which `count` values of at most `largest` have a sum of at most 2^62."""
    exponent = torch.frexp(largest.double()).exponent.clamp(min=LEAST)
    return torch.exp2((ROOM - count.bit_length() - exponent).double())


def binned(values: Tensor, index: Tensor, bins: int) -> Tensor:
    """(R, bins): the sum of the values (R, P) of each bin, where `index` (P,) is the bin of each; differentiable.

    A row with a value that is not finite has no finite sums.
    """
    return _Binned.apply(values, index, bins)


class _Binned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, bins: int) -> Tensor:
        ctx.save_for_backward(index)
        largest = torch.maximum(values.amax(1), -values.amin(1))
        finite = largest.isfinite()
        scale = scale_of(torch.where(finite, largest, 0.0), values.shape[1])
        sums = torch.zeros(len(values) * bins, dtype=torch.int64, device=values.device)
        rows = torch.arange(len(values), device=values.device)[:, None] * bins
        whole = (values.double().nan_to_num(0.0, 0.0, 0.0) * scale[:, None]).round_().long()
        sums.index_add_(0, (rows + index).flatten(), whole.flatten())
        step = torch.where(finite, 1.0 / scale, torch.nan)
        return (sums.view(len(values), bins).double() * step[:, None]).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return grad[:, index], None, None
