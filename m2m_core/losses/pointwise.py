"""Losses voxel by voxel: means over (B, C, *n) in float32 or better, whatever precision the network ran in."""

from torch import Tensor
from torch.nn import functional

from ..options import Positive
from ..registry import register
from .pairs import pair

__all__ = ["huber", "mae", "mse", "smooth_l1"]


@register("loss", "mse")
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of the squared differences (torch.nn.MSELoss)."""
    return functional.mse_loss(*pair(prediction, target))


@register("loss", "mae")
def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of the absolute differences (torch.nn.L1Loss)."""
    return functional.l1_loss(*pair(prediction, target))


@register("loss", "huber")
def huber(prediction: Tensor, target: Tensor, *, delta: Positive = 1.0) -> Tensor:
    """Half the squared difference up to `delta`, and the line that continues it beyond (Huber 1964), in the mean.

    Options:
        delta: difference at which the line begins [normalised units]
    """
    return functional.huber_loss(*pair(prediction, target), delta=delta)


@register("loss", "smooth_l1")
def smooth_l1(prediction: Tensor, target: Tensor, *, beta: Positive = 1.0) -> Tensor:
    """The Huber loss divided by `beta`: beyond it the mean absolute difference less beta / 2 (torch.nn.SmoothL1Loss).

    Options:
        beta: difference at which the line begins [normalised units]
    """
    return functional.smooth_l1_loss(*pair(prediction, target), beta=beta)
