"""A field closed on itself, for periodic convolutions, and the central part of a field."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

__all__ = ["Wrap", "narrow", "wrap"]

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Wrap(torch.autograd.Function):
    """A periodic field (B, C, *n) with the layer of voxels that lies across around it: (B, C, *n + 2).

    The numbers of `functional.pad(mode="circular")` at two thirds of the cost of a training step: the field is copied
    once each way, and stays channels-last if it was. It is linear, so a tangent is wrapped as the field is.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        shape = (*x.shape[:2], *(edge + 2 for edge in x.shape[2:]))
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_memory_format(x))
        axes = range(2, x.ndim)
        _inside(out, axes).copy_(x)
        for axis in reversed(axes):
            first, begin, end, last = _layers(out, axis)
            first.copy_(end)
            last.copy_(begin)
        return out

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        axes = range(2, gradient.ndim)
        for axis in axes:
            first, begin, end, last = _layers(gradient, axis)
            begin.add_(last)
            end.add_(first)
        return _inside(gradient, axes)

    @staticmethod
    def jvp(ctx: FunctionCtx, tangent: Tensor) -> Tensor:
        return Wrap.apply(tangent)


def wrap(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hook before a layer that wraps its field; what else it is given, a style, stays."""
    if inputs[1:] and torch.compiler.is_exporting():  # which knows no functions of ours inside a derivative
        return (functional.pad(inputs[0], (1,) * (2 * inputs[0].ndim - 4), mode="circular"), *inputs[1:])
    return (Wrap.apply(inputs[0]), *inputs[1:])


def _memory_format(x: Tensor) -> torch.memory_format:
    other = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
    return other if not x.is_contiguous() and x.is_contiguous(memory_format=other) else torch.contiguous_format


def _inside(x: Tensor, axes: range) -> Tensor:
    for axis in axes:
        x = x.narrow(axis, 1, x.shape[axis] - 2)
    return x


def _layers(x: Tensor, axis: int) -> list[Tensor]:
    """The two outermost layers at either end of an axis, without the border of the axes before it."""
    slab = _inside(x, range(2, axis))
    return [slab.select(axis, place) for place in (0, 1, -2, -1)]


def narrow(x: Tensor, size: Sequence[int]) -> Tensor:
    """The central part (B, C, *size) of `x` (B, C, *n), a view: as much is left out before it as after it."""
    for axis, edge in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - edge) // 2, edge)
    return x
