"""V-Net: a U-Net of residual blocks (Milletari et al. 2016, arXiv:1606.04797), the network of the field emulators."""

import math
from typing import Literal

from torch import Tensor, nn

from ..options import Count
from ..registry import register
from ._convolution import U, activation, convolution, narrow, sequence

__all__ = ["Residual", "vnet"]


class Residual(nn.Module):
    """Layers plus a linear path around them: (B, before, *n) -> (B, after, *m), see `sequence`.

    An activation at the end of `code` follows the sum. Either path carries half of the power at the start.
    """

    def __init__(self, code: str, before: int, after: int, dims: int, padding: str, gain: float = 1.0) -> None:
        super().__init__()
        gain *= math.sqrt(1 / 2)
        self.convs = sequence(code.removesuffix("A"), before, after, dims, padding, gain)
        self.skip = convolution("P", before, after, dims, padding, gain)
        self.activation = activation() if code.endswith("A") else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x)
        return self.activation(y + self.skip(narrow(x, y.shape[2:])))


@register("model", "vnet")
def vnet(
    in_channels: int,
    out_channels: int,
    dims: int,
    *,
    width: Count = 8,
    depth: Count = 2,
    growth: Count = 1,
    padding: Literal["valid", "periodic", "zero"] = "valid",
    normalization: Literal["none", "batch"] = "none",
    bypass: bool = True,
) -> U:
    """V-Net: residual blocks on the way down and on the way up, skips across, the input plus a correction.

    The correction begins at a hundredth of its natural size: an emulator starts from what it is given.

    Options:
        width: channels at the finest level; 64 in the published emulators
        depth: how often the resolution is halved, at most 6
        growth: factor from the channels of one level to those of the next coarser
        padding: valid reads a halo, periodic closes a whole periodic box on itself, zero pads with zeros
        normalization: batch or none; with batch, a tile equals the same part of the whole in prediction only
        bypass: add the input to the output where both have equally many channels
    """
    widths = [width * growth**level for level in range(depth + 1)]
    return U(
        Residual,
        in_channels,
        out_channels,
        dims,
        widths=widths,
        padding=padding,
        normalization=normalization,
        bypass=bypass,
    )
