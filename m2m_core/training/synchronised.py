"""Batch normalisation over all processes of a training: of each batch the statistics that one process would see.

On any device and by any backend, unlike torch's SyncBatchNorm, and with batches that are divided unevenly.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .distributed import Member

__all__ = ["synchronise"]


def synchronise(network: nn.Module, group: Member) -> None:
    """From now on the batch normalisations of `network` take, while they train, the statistics of the whole batch."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_normalised, module, module.forward, group)  # type: ignore[method-assign]


class Mean(torch.autograd.Function):
    """The weighted mean over processes; so is its gradient: that of a sum of losses which are weighted in the end."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Member) -> Tensor:
        ctx.group = group
        return group.average(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return Mean.apply(gradient, ctx.group), None  # which has a gradient itself, for penalties on gradients


def _normalised(norm: _BatchNorm, alone: Callable[[Tensor], Tensor], group: Member, x: Tensor) -> Tensor:
    """(B, C, *n): as torch's, of the examples of all processes."""
    if not norm.training:
        return alone(x)
    values = x if x.dtype == torch.float64 else x.float()
    axes = [axis for axis in range(x.ndim) if axis != 1]
    count = values.new_full((1,), x[:, 0].numel() / group.weight if group.weight else 0.0)  # in the whole batch
    mean, count = Mean.apply(torch.cat([values.mean(axes), count]), group).split([x.shape[1], 1])
    distances = values - _shaped(mean, x)
    variance = Mean.apply(distances.square().mean(axes), group)
    _track(norm, mean.detach(), variance.detach(), count.detach())
    y = distances * _shaped(torch.rsqrt(variance + norm.eps), x)
    if norm.affine:
        y = y * _shaped(norm.weight, x) + _shaped(norm.bias, x)
    return y.to(x.dtype)


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """Move the running statistics; their variance is the unbiased one of `count` values."""
    if not norm.track_running_stats or norm.running_mean is None:
        return
    norm.num_batches_tracked.add_(1)
    part = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    unbiased = variance * (count / (count - 1).clamp_min(1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), part)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), part)


def _shaped(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))
