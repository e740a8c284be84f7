"""Layers by letters: convolutions with one of three paddings, plain or styled, normalisations, activations.

Valid convolutions on a box with a halo, and circular ones on the periodic box, do the same arithmetic on the same
numbers. So the weights are the same for all paddings, and a network that was trained on whole boxes predicts any
larger box in tiles.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigError
from ._padding import narrow, wrap

__all__ = [
    "SLOPE", "Layers", "Residual", "Styled", "StyledConvolution", "activation", "convolution", "normalised", "sequence",
]  # fmt: skip

SLOPE = 0.01  # of the leaky rectifier below zero
EDGES = {"C": 3, "P": 1, "D": 2, "U": 2, "K": 4}
LEAST = 1e-8  # below which the squared norm of weights is not divided by


@dataclass(frozen=True)
class Layers:
    """What all layers of a network share.

    hidden: channels between the convolutions of a block, the larger of before and after it if None
    groups: of channels that group normalisation measures together
    styles: numbers that scale the weights of every convolution, none if 0
    slope: of the leaky rectifier below zero
    """

    dims: int
    padding: str = "valid"
    normalization: str = "none"
    groups: int = 8
    activation: str = "leaky_relu"
    hidden: int | None = None
    styles: int = 0
    slope: float = SLOPE


class Styled(nn.Sequential):
    """Layers in turn, of which those that know a style are given it: (x, style) -> y."""

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, style) if isinstance(layer, Styled | StyledConvolution | Residual) else layer(x)
        return x


class Residual(nn.Module):
    """Layers plus a linear path around them: (B, before, *n) -> (B, after, *m), see `sequence`.

    An activation at the end of `code` follows the sum. Either path carries half of the power at the start.
    """

    def __init__(self, code: str, before: int, after: int, layers: Layers, gain: float = 1.0) -> None:
        super().__init__()
        gain *= math.sqrt(1 / 2)
        self.convs = sequence(code.removesuffix("A"), before, after, layers, gain)
        self.skip = convolution("P", before, after, layers, gain)
        self.activation = activation(layers) if code.endswith("A") else nn.Identity()

    def forward(self, x: Tensor, *style: Tensor) -> Tensor:
        y = self.convs(x, *style)
        return self.activation(y + self.skip(narrow(x, y.shape[2:]), *style))


def sequence(code: str, before: int, after: int, layers: Layers, gain: float = 1.0) -> nn.Sequential:
    """Layers by letters: B normalisation if there is any, A activation, the others as in `convolution`.

    The last convolution gives `after` channels and has its weights scaled by `gain`; the others give the hidden ones.
    """
    code = code if layers.normalization != "none" else code.replace("B", "")
    made: list[nn.Module] = []
    final = max(code.rfind(letter) for letter in EDGES)
    channels, wide = before, layers.hidden or max(before, after)
    for place, letter in enumerate(code):
        if letter == "A":
            made.append(activation(layers))
        elif letter == "B":
            made.append(_normalization(channels, layers))
        else:
            width, scale = (after, gain) if place == final else (wide, 1.0)
            made.append(convolution(letter, channels, width, layers, scale))
            channels = width
    return Styled(*made) if layers.styles else nn.Sequential(*made)


def convolution(kind: str, before: int, after: int, layers: Layers, gain: float = 1.0) -> nn.Module:
    """One layer: C of edge 3, P of edge 1, D of edge 2 and stride 2, U the transpose of D, K of edge 4 and stride 2.

    Weights are normal with the variance 2 / fan-in that keeps the power of a field through a rectifier
    (He et al. 2015, arXiv:1502.01852): without normalisation, smaller ones let it fade from layer to layer.
    """
    edge, dims = EDGES[kind], layers.dims
    if layers.styles:
        layer: nn.Module = StyledConvolution(kind, before, after, layers)
    else:
        options = {"C": {"padding": int(layers.padding == "zero")}, "P": {}}.get(kind, {"stride": 2})
        layer = getattr(nn, f"ConvTranspose{dims}d" if kind == "U" else f"Conv{dims}d")(before, after, edge, **options)
    fan_in = before * (1 if kind == "U" else edge**dims)
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / ((1 + SLOPE**2) * fan_in)))  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    if kind == "C" and layers.padding == "periodic":
        layer.register_forward_pre_hook(wrap)  # and no layer of its own: the state is that of the other paddings
    return layer


class StyledConvolution(nn.Module):
    """A convolution whose weights each example scales by its style: (B, before, *n), (B, styles) -> (B, after, *m).

    The weights are multiplied by a linear function of the style for each input channel, then divided by their norm for
    each output channel (Karras et al. 2020, arXiv:1912.04958, section 2.2). All examples are convolved at once, each
    as a group of channels.
    """

    def __init__(self, kind: str, before: int, after: int, layers: Layers) -> None:
        super().__init__()
        self.up, self.dims, self.edge = kind == "U", layers.dims, EDGES[kind]
        self.options: dict[str, int] = {"stride": 2} if kind in "DU" else {}
        if kind == "C" and layers.padding == "zero":
            self.options = {"padding": 1}
        shape = (before, after) if self.up else (after, before)
        self.weight = nn.Parameter(torch.empty(*shape, *[self.edge] * layers.dims))
        self.bias = nn.Parameter(torch.empty(after))
        self.style_weight = nn.Parameter(torch.randn(before, layers.styles) / math.sqrt(3 * layers.styles))
        self.style_bias = nn.Parameter(torch.ones(before))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        weight = self._weights(functional.linear(style, self.style_weight, self.style_bias))
        convolve = getattr(functional, f"conv{'_transpose' if self.up else ''}{self.dims}d")
        y = convolve(x.reshape(1, batch * channels, *x.shape[2:]), weight, groups=batch, **self.options)
        y = y.reshape(batch, -1, *y.shape[2:])
        return y + self.bias.to(y.dtype).reshape(-1, *[1] * self.dims)

    def _weights(self, scale: Tensor) -> Tensor:
        """(B, before) -> weights of all examples, one after the other along the first axis."""
        axis = 1 if self.up else 2  # of the input channels
        weight = self.weight * scale.reshape(len(scale), *[-1 if a == axis else 1 for a in range(1, 3 + self.dims)])
        others = (axis, *range(3, 3 + self.dims))
        weight = weight * torch.rsqrt(weight.square().sum(others, keepdim=True) + LEAST)
        return weight.reshape(-1, *weight.shape[2:])


def activation(layers: Layers) -> nn.Module:
    """The nonlinearity of all hidden layers; rectifiers overwrite their input, which nothing before needs again."""
    made: dict[str, Any] = {
        "leaky_relu": lambda: nn.LeakyReLU(layers.slope, inplace=True),
        "relu": lambda: nn.ReLU(inplace=True),
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "elu": nn.ELU,
    }
    return made[layers.activation]()


def _normalization(channels: int, layers: Layers) -> nn.Module:
    if layers.normalization == "batch":
        return getattr(nn, f"BatchNorm{layers.dims}d")(channels)
    if channels % layers.groups:
        fit = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        text = f"model.groups: {layers.groups}, but a layer has {channels} channels; expected one of {fit}"
        raise ConfigError(text)
    return nn.GroupNorm(layers.groups, channels)


def normalised(module: nn.Module) -> None:
    """Divide the weights of all convolutions in `module` by their largest singular value (Miyato et al. 2018)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.utils.spectral_norm(layer)
