"""U-Net: two convolutions a level on the way down and up, and skips across (Ronneberger et al. 2015, 1505.04597)."""

from typing import Literal

from ..options import Count
from ..registry import register
from ._convolution import U, sequence

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
    normalization: Literal["none", "batch"] = "none",
    bypass: bool = True,
) -> U:
    """U-Net: two convolutions a level on the way down and on the way up, skips across, the input plus a correction.

    The correction begins at a hundredth of its natural size: an emulator starts from what it is given.

    Options:
        width: channels at the finest level
        depth: how often the resolution is halved, at most 6
        growth: factor from the channels of one level to those of the next coarser
        padding: valid reads a halo, periodic closes a whole periodic box on itself, zero pads with zeros
        normalization: batch or none; with batch, a tile equals the same part of the whole in prediction only
        bypass: add the input to the output where both have equally many channels
    """
    widths = [width * growth**level for level in range(depth + 1)]
    return U(
        sequence,
        in_channels,
        out_channels,
        dims,
        widths=widths,
        padding=padding,
        normalization=normalization,
        bypass=bypass,
    )
