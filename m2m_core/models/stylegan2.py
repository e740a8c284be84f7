"""Super-resolution after StyleGAN2: a generator that grows a field, and what tells its fields from true ones.

The networks of Li et al. 2021 (arXiv:2010.06608), whose layers follow Karras et al. 2020 (arXiv:1912.04958).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigError, RunError
from ..options import Count, Weight
from ..registry import register
from . import patches
from ._convolution import Layers, convolution, normalised
from ._padding import narrow
from .geometry import Geometry, Noise

__all__ = ["Discriminator", "Generator", "discriminator", "generator", "geometry"]

SLOPE = 0.2  # of the leaky rectifier below zero
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
START = 0.01  # of the weights that add to the field: training begins beside the interpolated input
LOST = 3  # voxels of the finer grid that a block loses at either end
Scale = Literal[2, 4, 8, 16, 32]


@register("geometry", "stylegan2_generator")
def geometry(*, scale: Literal[2, 4, 8, 16, 32] = 8) -> Geometry:
    """Halo of the generator, and the noise of its blocks: before doubling, and between its two convolutions."""
    levels, cut, noise = _levels(scale), 0, []
    for level in range(levels):
        noise += [Noise(2**level, cut), Noise(2 ** (level + 1), 2 * cut + LOST - 1)]
        cut = 2 * cut + LOST
    return Geometry(-(-cut // scale), 1, "valid", scale, tuple(noise))


def _levels(scale: int) -> int:
    return scale.bit_length() - 1


def _widths(scale: int, width: int, narrowest: int) -> list[int]:
    """Channels at each level, the coarsest first."""
    return [max(width >> level, min(width, narrowest)) for level in range(_levels(scale) + 1)]


class Generator(nn.Module):
    """(B, C, *n), noise -> (B, C, *scale (n - 2 halo)): the field doubled block by block, each adding detail.

    noise: (B, 1, *edges) for each of `geometry.noise`; None draws it, in training alone, by the seed of the step
    """

    def __init__(self, channels: int, dims: int, scale: int, widths: Sequence[int], std: float = 0.0) -> None:
        super().__init__()
        layers = Layers(dims)
        self.geometry = geometry(scale=scale)  # type: ignore[arg-type]
        self.first = nn.Sequential(convolution("P", channels, widths[0], layers), _rectifier())
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nn.ModuleList(GrowingBlock(before, after, channels, layers, std) for before, after in pairs)

    def forward(self, x: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Raises ConfigError on edges that the halo does not fit into, RunError on noise that does not fit."""
        core = self.geometry.core(x.shape[2:])
        return narrow(self.grown(x, self._checked(x, noise)), core)

    def grown(self, x: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """All that is left of the grown field: (B, C, *(scale n - 6 (scale - 1)))."""
        field, x = x, self.first(x)
        for block, before, between in zip(self.blocks, noise[::2], noise[1::2], strict=True):
            x, field = block(x, field, before, between)
        return field

    def _checked(self, x: Tensor, noise: Sequence[Tensor] | None) -> Sequence[Tensor]:
        blocks = [level.block((0,) * (x.ndim - 2), x.shape[2:])[1] for level in self.geometry.noise]
        shapes = [(x.shape[0], 1, *edges) for edges in blocks]
        if noise is None and self.training:
            return [torch.randn(shape, dtype=x.dtype, device=x.device) for shape in shapes]
        if noise is None or len(noise) != len(shapes):
            given = "none" if noise is None else f"{len(noise)} fields"
            raise RunError(f"noise: {given} given; expected {len(shapes)} fields, of {shapes[0]} to {shapes[-1]}")
        for number, (field, shape) in enumerate(zip(noise, shapes, strict=True)):
            if tuple(field.shape) != shape:
                raise RunError(f"noise: {tuple(field.shape)} of field {number}; expected {shape}")
        return noise


class GrowingBlock(nn.Module):
    """One doubling: (features, field, noise, noise) -> both on twice the grid, less 3 voxels at either end."""

    def __init__(self, before: int, after: int, channels: int, layers: Layers, std: float) -> None:
        super().__init__()
        self.first = convolution("C", before, after, layers)
        self.second = convolution("C", after, after, layers)
        self.project = convolution("P", after, channels, layers, START)
        self.before, self.between = (
            nn.Parameter(torch.full((n,), std)) for n in (before, after)
        )  # noise's standard deviation

    def forward(self, x: Tensor, field: Tensor, before: Tensor, between: Tensor) -> tuple[Tensor, Tensor]:
        x = _rectified(self.first(_doubled(_noisy(x, self.before, before))))
        x = _rectified(self.second(_noisy(x, self.between, between)))
        return x, narrow(_doubled(field), x.shape[2:]) + _rectified(self.project(x))


def _noisy(x: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    return x + std.reshape(-1, *[1] * (x.ndim - 2)) * noise


def _doubled(x: Tensor) -> Tensor:
    """Interpolated linearly to twice the grid, without the outermost voxels, which would be extrapolated."""
    dims = x.ndim - 2
    y = functional.interpolate(x, scale_factor=2.0, mode=MODES[dims], align_corners=False)
    return narrow(y, [edge - 2 for edge in y.shape[2:]])


class Discriminator(nn.Module):
    """(B, C, *n) -> (B, 1, *m), see `models.patches`: how true each patch of the field looks."""

    def __init__(self, channels: int, dims: int, scale: int, widths: Sequence[int], spectral_norm: bool) -> None:
        super().__init__()
        layers = Layers(dims)
        self.patches = patches.stylegan2_discriminator(scale=scale)  # type: ignore[arg-type]
        self.first = nn.Sequential(convolution("P", channels, widths[-1], layers), _rectifier())
        rising = list(reversed(widths))
        pairs = zip(rising, rising[1:], strict=False)
        self.blocks = nn.ModuleList(HalvingBlock(before, after, layers) for before, after in pairs)
        ends = convolution("P", widths[0], widths[0], layers), convolution("P", widths[0], 1, layers)
        self.last = nn.Sequential(ends[0], _rectifier(), ends[1])
        if spectral_norm:
            normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ConfigError on fields that are smaller than a patch."""
        self.patches.core(x.shape[2:])
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class HalvingBlock(nn.Module):
    """Two convolutions beside a linear path, then the mean of two voxels along each axis; an odd last one is cut."""

    def __init__(self, before: int, after: int, layers: Layers) -> None:
        super().__init__()
        ends = convolution("C", before, before, layers), convolution("C", before, after, layers)
        self.convs = nn.Sequential(ends[0], _rectifier(), ends[1], _rectifier())
        self.skip = convolution("P", before, after, layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x)
        y = y + narrow(self.skip(x), y.shape[2:])
        return getattr(functional, f"avg_pool{x.ndim - 2}d")(y, 2)


def _rectifier() -> nn.Module:
    return nn.LeakyReLU(SLOPE, inplace=True)


def _rectified(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE, inplace=True)


@register("model", "stylegan2_generator")
def generator(
    in_channels: int,
    out_channels: int,
    dims: int,
    *,
    scale: Literal[2, 4, 8, 16, 32] = 8,
    width: Count = 512,
    narrowest: Count = 64,
    noise: Weight = 0.0,
) -> Generator:
    """Super-resolution generator: doubles the field block by block and adds detail out of noise of learnt strength.

    Options:
        scale: voxels of the target for each of the input, along an axis
        width: channels at the coarsest level, half as many at each finer one
        narrowest: channels that no level has fewer of
        noise: standard deviation of the noise at first; from zero on a short training hardly learns to use it
    """
    if dims not in MODES:
        raise ConfigError(f"model: fields with {dims} axes; expected 1, 2 or 3")
    if in_channels != out_channels:
        text = f"{out_channels} channels from {in_channels}; expected as many, for the field grows from the input"
        raise ConfigError(f"model: {text}")
    return Generator(in_channels, dims, scale, _widths(scale, width, narrowest), noise)


@register("discriminator", "stylegan2_discriminator")
def discriminator(
    channels: int,
    dims: int,
    *,
    scale: Literal[2, 4, 8, 16, 32] = 8,
    width: Count = 512,
    narrowest: Count = 64,
    spectral_norm: bool = False,
) -> Discriminator:
    """The generator's counterpart: convolutions and halvings down to one value a patch.

    Options:
        scale: how much coarser the map of values is than the field, along an axis
        width: channels at the coarsest level, half as many at each finer one
        narrowest: channels that no level has fewer of
        spectral_norm: divide the weights of each layer by their largest singular value
    """
    return Discriminator(channels, dims, scale, _widths(scale, width, narrowest), spectral_norm)
