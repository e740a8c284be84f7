"""What the U-shaped networks share: convolutions with one of three paddings, and the U itself.

Valid convolutions on a box with a halo, and circular ones on the periodic box, do the same arithmetic on the same
numbers. So the weights are the same for all paddings, and a network that was trained on whole boxes predicts any
larger box in tiles.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ..errors import ConfigError
from . import geometry as arithmetic

__all__ = ["SLOPE", "U", "activation", "convolution", "narrow", "sequence"]

SLOPE = 0.01  # of the leaky rectifier below zero
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
FIRST, MIDDLE, LAST = "CACBA", "CBACBA", "CAC"  # a block by its place in the network, see `sequence`
START = 0.01  # of the last layers' weights: training begins beside the bypass, yet no gradient is zero


class U(nn.Module):
    """Blocks on 1 + depth levels, halvings and doublings between them, and skips from the way down to the way up.

    (B, in_channels, *n) -> (B, out_channels, *m): m = n, or n less the halo on both sides if the padding is valid.
    The order of layers is that of the published field emulators (Jamieson et al. 2022, arXiv:2206.04573); it is theirs
    exactly with 64 channels at each of three levels, batch normalisation and valid padding.
    With "zero" the coarse voxels begin at the field's corner, which valid crops of it need not do.

    block: (code, before, after, dims, padding, gain) -> module of the layers `code`, like `sequence`
    widths: channels at each level, the finest first
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        in_channels: int,
        out_channels: int,
        dims: int,
        *,
        widths: Sequence[int],
        padding: str,
        normalization: str,
        bypass: bool,
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise ConfigError(f"model: fields with {dims} axes; expected 1, 2 or 3")
        levels = range(len(widths) - 1)
        self.geometry = arithmetic.unet(depth=levels.stop, padding=padding)
        self.origin = arithmetic.origin(levels.stop) if padding == "periodic" else 0
        self.bypass = bypass and in_channels == out_channels

        def build(kind: Callable[..., nn.Module], code: str, before: int, after: int, gain: float = 1.0) -> nn.Module:
            code = code if normalization == "batch" else code.replace("B", "")
            return kind(code, before, after, dims, padding, gain)

        into, out = [in_channels, *widths], [out_channels, *widths[1:]]
        self.encode = nn.ModuleList(build(block, MIDDLE if i else FIRST, into[i], widths[i]) for i in levels)
        self.down = nn.ModuleList(build(sequence, "DBA", widths[i], widths[i]) for i in levels)
        self.centre = build(block, MIDDLE, widths[-2], widths[-1])
        self.up = nn.ModuleList(build(sequence, "UBA", widths[i + 1], widths[i]) for i in levels)
        self.decode = nn.ModuleList(
            build(block, MIDDLE if i else LAST, 2 * widths[i], out[i], 1.0 if i else START) for i in levels
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *n) -> (B, out_channels, *m); raises ConfigError on edges that the geometry excludes."""
        core = self.geometry.core(x.shape[2:])
        y = narrow(self._at_origin(x), core)
        return y + narrow(x, core) if self.bypass else y

    def _at_origin(self, x: Tensor) -> Tensor:
        """Let the coarse voxels of a periodic box begin where those of a crop with its halo do."""
        if not self.origin:
            return self._correction(x)
        axes = tuple(range(2, x.ndim))
        y = self._correction(torch.roll(x, [-self.origin] * len(axes), axes))
        return torch.roll(y, [self.origin] * len(axes), axes)

    def _correction(self, x: Tensor) -> Tensor:
        skips = []
        for block, down in zip(self.encode, self.down, strict=True):
            skips.append(block(x))
            x = down(skips[-1])
        x = self.centre(x)
        for up, block in zip(reversed(self.up), reversed(self.decode), strict=True):
            x = up(x)
            x = block(torch.cat([narrow(skips.pop(), x.shape[2:]), x], dim=1))
        return x


def sequence(code: str, before: int, after: int, dims: int, padding: str, gain: float = 1.0) -> nn.Sequential:
    """Layers by letters: C convolution, D halving, U doubling, B batch normalisation, A activation.

    The last of C, D, U gives `after` channels and has its weights scaled by `gain`; the others give the larger of
    `before` and `after`.
    """
    layers: list[nn.Module] = []
    final = max(code.rfind(letter) for letter in "CDU")
    channels, wide = before, max(before, after)
    for place, letter in enumerate(code):
        if letter == "A":
            layers.append(activation())
        elif letter == "B":
            layers.append(getattr(nn, f"BatchNorm{dims}d")(channels))
        else:
            width, scale = (after, gain) if place == final else (wide, 1.0)
            layers.append(convolution(letter, channels, width, dims, padding, scale))
            channels = width
    return nn.Sequential(*layers)


def convolution(kind: str, before: int, after: int, dims: int, padding: str, gain: float = 1.0) -> nn.Module:
    """One layer: C of edge 3, P of edge 1, D of edge 2 and stride 2, U the transpose of D.

    Weights are normal with the variance 2 / fan-in that keeps the power of a field through a rectifier
    (He et al. 2015, arXiv:1502.01852): without normalisation, smaller ones let it fade from layer to layer.
    """
    edge = {"C": 3, "P": 1, "D": 2, "U": 2}[kind]
    options = {"C": {"padding": int(padding == "zero")}, "P": {}}.get(kind, {"stride": 2})
    layer = getattr(nn, f"ConvTranspose{dims}d" if kind == "U" else f"Conv{dims}d")(before, after, edge, **options)
    fan_in = before * (1 if kind == "U" else edge**dims)
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / ((1 + SLOPE**2) * fan_in)))
    nn.init.zeros_(layer.bias)
    if kind == "C" and padding == "periodic":
        layer.register_forward_pre_hook(_wrap)  # and no layer of its own: the state is that of the other paddings
    return layer


def activation() -> nn.Module:
    """The rectifier of all hidden layers; it overwrites its input, which nothing before it needs again."""
    return nn.LeakyReLU(SLOPE, inplace=True)


class Wrap(torch.autograd.Function):
    """A periodic field (B, C, *n) with the layer of voxels that lies across around it: (B, C, *n + 2).

    The numbers of `functional.pad(mode="circular")` at two thirds of the cost of a training step: the field is copied
    once each way, and stays channels-last if it was.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], *(edge + 2 for edge in x.shape[2:]))
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_memory_format(x))
        axes = range(2, x.ndim)
        _inside(out, axes).copy_(x)
        for axis in reversed(axes):
            first, begin, end, last = _layers(out, axis)
            first.copy_(end)
            last.copy_(begin)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        axes = range(2, gradient.ndim)
        for axis in axes:
            first, begin, end, last = _layers(gradient, axis)
            begin.add_(last)
            end.add_(first)
        return _inside(gradient, axes)


def _wrap(layer: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    return Wrap.apply(*inputs)


def _memory_format(x: Tensor) -> torch.memory_format:
    other = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
    return other if not x.is_contiguous() and x.is_contiguous(memory_format=other) else torch.contiguous_format


def _inside(x: Tensor, axes: range) -> Tensor:
    for axis in axes:
        x = x.narrow(axis, 1, x.shape[axis] - 2)
    return x


def _layers(x: Tensor, axis: int) -> list[Tensor]:
    """The two outermost layers at either end of an axis, without the border of the axes before it."""
    slab = _inside(x, range(2, axis))
    return [slab.select(axis, place) for place in (0, 1, -2, -1)]


def narrow(x: Tensor, size: Sequence[int]) -> Tensor:
    """The central part (B, C, *size) of `x` (B, C, *n), a view: as much is left out before it as after it."""
    for axis, edge in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - edge) // 2, edge)
    return x
