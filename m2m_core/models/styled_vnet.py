"""V-Net whose convolutions depend on a style, as the cosmology: the emulator of Jamieson et al. 2023 (2206.04594)."""

from typing import Literal

from ..options import Count
from ..registry import register
from ._convolution import Layers, Residual
from ._u import U
from .geometry import Geometry, u_shape

__all__ = ["geometry", "styled_vnet"]


@register("geometry", "styled_vnet")
def geometry(
    *, depth: Count = 2, blocks: Count = 1, padding: Literal["valid", "periodic", "zero"] = "valid"
) -> Geometry:
    """Halo and sizes of the styled V-Net; raises ConfigError if it is too deep for any field."""
    return u_shape(depth, padding, blocks)


@register("model", "styled_vnet")
def styled_vnet(
    in_channels: int,
    out_channels: int,
    dims: int,
    styles: int,
    *,
    width: Count = 8,
    depth: Count = 2,
    growth: Count = 1,
    blocks: Count = 1,
    padding: Literal["valid", "periodic", "zero"] = "valid",
    normalization: Literal["none", "batch", "group"] = "none",
    groups: Count = 8,
    activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu"] = "leaky_relu",
    hidden: Count | None = None,
    bypass: bool = True,
) -> U:
    """V-Net that takes numbers beside the field, which scale the weights of its convolutions (StyleGAN2).

    Weights are brought to unit norm after that, so the correction has its natural size from the start.

    Options:
        width: channels at the finest level; 64 in the published emulators
        depth: how often the resolution is halved, at most 6; 3 in the published emulators
        growth: factor from the channels of one level to those of the next coarser
        blocks: residual blocks in a row at the finest level, on either side; 2 in the published emulators
        padding: valid reads a halo, periodic closes a whole periodic box on itself, zero pads with zeros
        normalization: batch, group or none; a tile equals that part of the whole with none, with batch in prediction
        groups: of channels that group normalisation measures together
        activation: nonlinearity of the hidden layers; silu is also called Swish
        hidden: channels between the two convolutions of a block; the larger of before and after it unless given
        bypass: add the input to the output where both have equally many channels
    """
    layers = Layers(dims, padding, normalization, groups, activation, hidden, styles)
    widths = [width * growth**level for level in range(depth + 1)]
    return U(Residual, in_channels, out_channels, layers, widths=widths, bypass=bypass, blocks=blocks)
