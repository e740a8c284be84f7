"""o3: the network of the CAMELS multifield data set for maps (Villaescusa-Navarro et al., arXiv:2109.10360)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from ..options import Annotated, Count, Field
from ..registry import register
from ._encoding import Encoder, activated, convolution, normalized
from .geometry import Pyramid

__all__ = ["o3"]


@register("encoder", "o3")
def o3(
    in_channels: int,
    outputs: int,
    size: Sequence[int],
    *,
    hidden: Count = 6,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    normalization: Literal["batch", "none"] = "batch",
) -> nn.Module:
    """o3: for each halving two circular convolutions of edge 3 and one of edge 2 and stride 2; two linear layers.

    At 256 voxels there are six such stages. All layers are normalised over the batch but the first and the last ones.

    Options:
        hidden: half of the channels of the first stage; each next one has twice as many
        dropout: part of the numbers before each linear layer that is left out in training
        normalization: of the channels of each convolution over the batch, or none
    """
    halvings = Pyramid(0, 1, "zero").halvings(size[0]) or 1
    made: list[nn.Module] = []
    before = in_channels
    for stage in range(halvings):
        after = 2 * hidden * 2**stage
        made += _stage(before, after, len(size), normalization, first=not stage)
        before = after
    after = 2 * before
    made += [convolution(len(size))(before, after, size[0] >> halvings), *normalized(normalization, len(size), after)]
    made += [activated("leaky_relu")]
    head = [nn.Dropout(dropout), nn.Linear(after, before), activated("leaky_relu"), nn.Dropout(dropout)]
    network = Encoder(nn.Sequential(*made), nn.Sequential(*head, nn.Linear(before, outputs)), in_channels, (*size,))
    return network.apply(_initialise)


def _stage(before: int, after: int, dims: int, normalization: str, first: bool) -> list[nn.Module]:
    """Two convolutions that keep the edges and one that halves them."""
    made: list[nn.Module] = []
    around = {"padding": 1, "padding_mode": "circular"}
    for place, (edge, stride, options) in enumerate([(3, 1, around), (3, 1, around), (2, 2, {})]):
        made += [convolution(dims)(before if not place else after, after, edge, stride, **options)]
        made += [] if first and not place else normalized(normalization, dims, after)
        made += [activated("leaky_relu")]
    return made


@torch.no_grad()
def _initialise(layer: nn.Module) -> None:
    """Weights after He et al. 2015; biases stay as they are."""
    if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight)
