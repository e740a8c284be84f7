"""RACOON: three convolutions without overlap, and numbers of what they leave."""

from collections.abc import Sequence
from math import prod
from typing import Literal

from torch import nn

from ..options import Annotated, Count, Field
from ..registry import register
from ._encoding import Encoder, activated, convolution, normalized
from .geometry import strides

__all__ = ["racoon"]

WIDTHS = (1, 4, 8)  # channels of the convolutions [layer_param]


@register("encoder", "racoon")
def racoon(
    in_channels: int,
    outputs: int,
    size: Sequence[int],
    *,
    layer_param: Count = 16,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    activation: Literal["leaky_relu", "relu", "elu", "gelu", "silu"] = "leaky_relu",
    normalization: Literal["batch", "none"] = "batch",
) -> nn.Module:
    """RACOON: three convolutions without overlap, batch normalisation, two linear layers.

    At 256 voxels all strides are 4, and layer_param 8 and 16 give 45 409 and 180 929 parameters for one channel and
    one output; smaller edges have smaller strides, and leave 4 to 7 voxels all the same.

    Options:
        layer_param: channels of the first convolution; the others have 4 and 8 times as many
        dropout: part of the numbers before the last layer that is left out in training
        activation: after each layer but the last
        normalization: of the channels of each convolution over the batch, or none
    """
    made: list[nn.Module] = []
    before = in_channels
    for stride, width in zip(strides(size[0]), WIDTHS, strict=True):
        after = width * layer_param
        made += [convolution(len(size))(before, after, stride, stride, bias=False)]
        made += [*normalized(normalization, len(size), after), activated(activation)]
        before = after
    left = prod(edge // prod(strides(edge)) for edge in size)
    head = [nn.Linear(before * left, layer_param), activated(activation), nn.Dropout(dropout)]
    return Encoder(nn.Sequential(*made), nn.Sequential(*head, nn.Linear(layer_param, outputs)), in_channels, (*size,))
