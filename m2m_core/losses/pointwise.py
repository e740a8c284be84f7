"""Losses voxel by voxel: means over (B, C, *n) in float32 or better, whatever precision the network ran in."""

from torch import Tensor
from torch.nn import functional

from ..options import Positive
from ..registry import register

__all__ = ["huber", "mae", "mse"]


@register("loss", "mse")
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return functional.mse_loss(*_pair(prediction, target))


@register("loss", "mae")
def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of the absolute differences."""
    return functional.l1_loss(*_pair(prediction, target))


@register("loss", "huber")
def huber(prediction: Tensor, target: Tensor, *, delta: Positive = 1.0) -> Tensor:
    """Half the squared difference up to `delta`, and the line that continues it beyond (Huber 1964), in the mean.

    Options:
        delta: difference at which the line begins [normalised units]
    """
    return functional.huber_loss(*_pair(prediction, target), delta=delta)


def _pair(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the target's precision; raises ValueError on different shapes, which would broadcast."""
    if prediction.shape != target.shape:
        raise ValueError(f"loss: prediction {tuple(prediction.shape)} and target {tuple(target.shape)}; expected equal")
    return prediction.to(target.dtype), target
