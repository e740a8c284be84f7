"""Losses of masks and of critics."""

import torch
from torch import Tensor

from ..options import Positive
from ..registry import register
from .pairs import pair

__all__ = ["dice", "wasserstein"]


@register("loss", "dice")
def dice(prediction: Tensor, target: Tensor, *, sigmoid: bool = False, smooth: Positive = 1.0e-5) -> Tensor:
    """1 - (2 sum(x t) + s) / (sum(x^2) + sum(t^2) + s) over the voxels of a channel (Milletari et al. 2016).

    Then the mean over channels and examples: unlike a ratio of sums over a batch, it does not depend on its parts.

    Options:
        sigmoid: whether the prediction x is logits rather than probabilities
        smooth: s, what makes two empty masks equal
    """
    prediction, target = pair(prediction, target)
    x, t = (torch.sigmoid(prediction) if sigmoid else prediction).flatten(2), target.flatten(2)
    overlap = (2.0 * (x * t).sum(2) + smooth) / (x.square().sum(2) + t.square().sum(2) + smooth)
    return 1.0 - overlap.mean()


@register("loss", "wasserstein")
def wasserstein(prediction: Tensor, target: Tensor) -> Tensor:
    """-mean((2 t - 1) x): the critic's estimate of the distance between what is labelled 1 and what is labelled 0.

    Arjovsky et al. 2017, arXiv:1701.07875. It has no least value: something else must bound the slope of the model.
    """
    prediction, target = pair(prediction, target)
    return -((2.0 * target - 1.0) * prediction).mean()
