"""PENGUIN: convolutions of edge 4 and stride 2, and numbers of what they leave."""

from collections.abc import Sequence
from math import prod
from typing import Literal

from torch import nn

from ..options import Annotated, Count, Field
from ..registry import register
from ._encoding import Encoder, activated, convolution, normalized
from .geometry import Pyramid

__all__ = ["penguin"]

DEEP = 10  # numbers after the first linear layer [layer_param]


@register("encoder", "penguin")
def penguin(
    in_channels: int,
    outputs: int,
    size: Sequence[int],
    *,
    layer_param: Count = 16,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    activation: Literal["leaky_relu", "relu", "elu", "gelu", "silu"] = "leaky_relu",
    normalization: Literal["batch", "none"] = "batch",
) -> nn.Module:
    """PENGUIN: convolutions of edge 4 and stride 2, batch normalisation throughout, three linear layers.

    At 256 voxels there are six convolutions, and layer_param 8 and 16 give 269 825 and 1 077 505 parameters for one
    channel and one output; smaller edges have the first of them, as many as leave 4 to 7 voxels.

    Options:
        layer_param: channels of the first convolution; the next have 2, 4, 6, 8, 10, ... times as many
        dropout: part of the numbers before each of the last two layers that is left out in training
        activation: after each layer but the last
        normalization: of channels, and of numbers, over the batch, or none
    """
    made: list[nn.Module] = []
    before, halvings = in_channels, Pyramid(0, 1, "zero").halvings(size[0]) or 1
    for stage in range(halvings):
        after = max(1, 2 * stage) * layer_param
        made += [convolution(len(size))(before, after, 4, 2, 1, bias=False)]
        made += [*normalized(normalization, len(size), after), activated(activation)]
        before = after
    wide = before * prod(edge >> halvings for edge in size)
    head: list[nn.Module] = []
    for numbers in (DEEP * layer_param, layer_param):
        head += [nn.Linear(wide, numbers), *normalized(normalization, 1, numbers)]
        head += [activated(activation), nn.Dropout(dropout)]
        wide = numbers
    return Encoder(nn.Sequential(*made), nn.Sequential(*head, nn.Linear(wide, outputs)), in_channels, (*size,))
