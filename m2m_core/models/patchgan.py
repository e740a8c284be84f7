"""Discriminators that judge patch by patch (Isola et al. 2017, arXiv:1611.07004)."""

from typing import Literal

from torch import Tensor, nn

from ..options import Count
from ..registry import register
from . import patches
from ._convolution import Layers, normalised, sequence
from .geometry import Patches

__all__ = ["PatchGAN", "patchgan", "patchgan42"]

SLOPE = 0.2  # of the leaky rectifier below zero, where patches are 22 voxels wide


class PatchGAN(nn.Module):
    """Layers in a row: (B, C, *n) -> (B, 1, *m), see `models.patches`: how true each patch of the field looks."""

    def __init__(self, convs: nn.Sequential, patches: Patches, spectral_norm: bool) -> None:
        super().__init__()
        self.convs, self.patches = convs, patches
        if spectral_norm:
            normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ConfigError on fields that are smaller than a patch."""
        self.patches.core(x.shape[2:])
        return self.convs(x)


@register("discriminator", "patchgan")
def patchgan(
    channels: int,
    dims: int,
    *,
    width: Count = 32,
    normalization: Literal["none", "batch", "group"] = "batch",
    groups: Count = 8,
    activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu"] = "leaky_relu",
    spectral_norm: bool = False,
) -> PatchGAN:
    """Four convolutions of edge 3 without stride: a value for every patch of 9 voxels.

    Options:
        width: channels of the first layer, twice as many in each that follows
        normalization: batch, group or none
        groups: of channels that group normalisation measures together
        activation: nonlinearity of the hidden layers; silu is also called Swish
        spectral_norm: divide the weights of each layer by their largest singular value
    """
    layers = Layers(dims, "valid", normalization, groups, activation)
    rows = ("CA", channels, width), ("CBA", width, 2 * width), ("CBA", 2 * width, 4 * width), ("C", 4 * width, 1)
    return PatchGAN(nn.Sequential(*(sequence(*row, layers) for row in rows)), patches.patchgan(), spectral_norm)


@register("discriminator", "patchgan42")
def patchgan42(
    channels: int,
    dims: int,
    *,
    width: Count = 64,
    normalization: Literal["none", "batch", "group"] = "batch",
    groups: Count = 8,
    activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu"] = "leaky_relu",
    spectral_norm: bool = False,
) -> PatchGAN:
    """Three convolutions of edge 4 and stride 2: a value for every eighth patch of 22 voxels.

    Options:
        width: channels of the first layer, twice as many in each that follows
        normalization: batch, group or none
        groups: of channels that group normalisation measures together
        activation: nonlinearity of the hidden layers; silu is also called Swish
        spectral_norm: divide the weights of each layer by their largest singular value
    """
    layers = Layers(dims, "valid", normalization, groups, activation, slope=SLOPE)
    rows = ("KA", channels, width), ("KBA", width, 2 * width), ("KBA", 2 * width, 4 * width), ("P", 4 * width, 1)
    return PatchGAN(nn.Sequential(*(sequence(*row, layers) for row in rows)), patches.patchgan42(), spectral_norm)
