"""What each discriminator looks at: the layers of its patches, without torch."""

from typing import Literal

from ..registry import register
from .geometry import Patches

__all__ = ["patchgan", "patchgan42", "stylegan2_discriminator"]


@register("patches", "patchgan")
def patchgan() -> Patches:
    """Patches of 9 voxels, one for every voxel."""
    return Patches(((8, 1),), normalised=2)


@register("patches", "patchgan42")
def patchgan42() -> Patches:
    """Patches of 22 voxels, 8 voxels apart."""
    return Patches(((2, 2),) * 3)


@register("patches", "stylegan2_discriminator")
def stylegan2_discriminator(*, scale: Literal[2, 4, 8, 16, 32] = 8) -> Patches:
    """Two convolutions, then the mean of two voxels, for each doubling of the generator."""
    return Patches(((4, 2),) * (scale.bit_length() - 1))
