"""Loss of gradients: differences between neighbouring voxels."""

import torch
from torch import Tensor

from ..registry import register
from .frame import Frame
from .pairs import pair

__all__ = ["gradient"]


@register("loss", "gradient")
def gradient(prediction: Tensor, target: Tensor, frame: Frame) -> Tensor:
    """Mean squared difference between the gradients of prediction and target, over all axes.

    A gradient is the difference from voxel to voxel [normalised units, over the shortest edge of a voxel]; around the
    box along the axes on which an example is a whole periodic one.
    """
    prediction, target = pair(prediction, target)
    wrong, least = prediction - target, min(frame.cell)  # differences are linear
    steps = [_step(wrong, axis, goes_on).square().mean() for axis, goes_on in enumerate(frame.around)]
    parts = [step * (least / edge) ** 2 for step, edge in zip(steps, frame.cell, strict=True)]
    return torch.stack(parts).mean()


def _step(field: Tensor, axis: int, goes_on: bool) -> Tensor:
    """From each voxel to the next along an axis of space."""
    if goes_on:
        return field.roll(-1, axis + 2) - field
    return field.diff(dim=axis + 2)
