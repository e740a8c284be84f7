"""U-Net: two convolutions a level on the way down and up, and skips across (Ronneberger et al. 2015, 1505.04597)."""

from typing import Literal

from ..options import Count
from ..registry import register
from ._convolution import Layers, sequence
from ._u import U

__all__ = ["unet"]


@register("model", "unet")
def unet(
    in_channels: int,
    out_channels: int,
    dims: int,
    *,
    width: Count = 16,
    depth: Count = 2,
    growth: Count = 2,
    padding: Literal["valid", "periodic", "zero"] = "valid",
    normalization: Literal["none", "batch", "group"] = "none",
    groups: Count = 8,
    activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu"] = "leaky_relu",
    hidden: Count | None = None,
    bypass: bool = True,
) -> U:
    """U-Net: two convolutions a level on the way down and on the way up, skips across, the input plus a correction.

    The correction begins at a hundredth of its natural size: an emulator starts from what it is given.

    Options:
        width: channels at the finest level
        depth: how often the resolution is halved, at most 6
        growth: factor from the channels of one level to those of the next coarser
        padding: valid reads a halo, periodic closes a whole periodic box on itself, zero pads with zeros
        normalization: batch, group or none; a tile equals that part of the whole with none, with batch in prediction
        groups: of channels that group normalisation measures together
        activation: nonlinearity of the hidden layers; silu is also called Swish
        hidden: channels between the two convolutions of a block; the larger of before and after it unless given
        bypass: add the input to the output where both have equally many channels
    """
    layers = Layers(dims, padding, normalization, groups, activation, hidden)
    widths = [width * growth**level for level in range(depth + 1)]
    return U(sequence, in_channels, out_channels, layers, widths=widths, bypass=bypass)
