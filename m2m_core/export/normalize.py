"""The normalisations of `data.normalize` once more as torch modules, so that they can be part of an exported program.

A transform of a plugin is exported with `@register("torch_transform", name)` beside it, a scaling that depends on the
sample with `@register("torch_scaling", name)`. Any other scaling is exported as its constants.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import registry
from ..data.catalogue import Sample
from ..data.normalize import Normalizer, Parts, normals
from ..data.transforms import EXP, EXPM1
from ..errors import ConfigError
from ..options import Positive
from ..registry import register

__all__ = [
    "Chain", "Displacement", "Exp", "Expm1", "Identity", "Linear", "Log", "Log1p", "Normal", "Several", "Velocity",
    "normal",
]  # fmt: skip

NODES = 64  # of the quadrature: D is right to 1e-14 where omega_m is at least 0.1


@register("torch_transform", "identity")
class Identity(nn.Module):
    """Leave the values as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        return x

    inverse = forward


@register("torch_transform", "log1p")
class Log1p(nn.Module):
    """log(1 + x)."""

    def forward(self, x: Tensor) -> Tensor:
        """log(1 + x); NaN below -1."""
        return torch.log1p(x)

    def inverse(self, x: Tensor) -> Tensor:
        """exp(x) - 1."""
        return torch.expm1(x)


@register("torch_transform", "log")
class Log(nn.Module):
    """log(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """log(x); NaN below 0."""
        return torch.log(x)

    def inverse(self, x: Tensor) -> Tensor:
        """exp(x)."""
        return torch.exp(x)


@register("torch_transform", "exp")
class Exp(nn.Module):
    """exp(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """exp(x)."""
        return torch.exp(x)

    def inverse(self, x: Tensor) -> Tensor:
        """log(x), of what lies outside of the range that of its nearest end."""
        return torch.log(x.clamp(*map(math.exp, EXP)))


@register("torch_transform", "expm1")
class Expm1(nn.Module):
    """exp(x) - 1."""

    def forward(self, x: Tensor) -> Tensor:
        """exp(x) - 1."""
        return torch.expm1(x)

    def inverse(self, x: Tensor) -> Tensor:
        """log(1 + x), of what lies outside of the range that of its nearest end."""
        return torch.log1p(x.clamp(*map(math.expm1, EXPM1)))


class Chain(nn.Module):
    """Several transforms, one after the other."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(registry.load("torch_transform", name)() for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """All of them."""
        for step in self.steps:
            x = step(x)
        return x

    def inverse(self, x: Tensor) -> Tensor:
        """All inverses, the last first."""
        for step in reversed(self.steps):
            x = step.inverse(x)
        return x


class Linear(nn.Module):
    """Linear theory of a flat universe, all numbers 0-dimensional float64.

    The growth factor is Euler's integral of the hypergeometric function in `physics.cosmology`, with t = 1 - v^6:
    a times the integral of 5 v^4 (1 + x (1 - v^6))^(-1/3) over v from 0 to 1, where x = a^3 (1 / omega_m - 1).
    """

    def __init__(self) -> None:
        super().__init__()
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        v = (nodes + 1.0) / 2.0
        self.register_buffer("v6", torch.from_numpy(v**6))
        self.register_buffer("weights", torch.from_numpy(2.5 * weights * v**4))

    def growth(self, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """D at a redshift, 1 at redshift 0."""
        return self._early(1.0 / (1.0 + redshift), omega_m) / self._early(torch.ones_like(redshift), omega_m)

    def velocity(self, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """D H f / (1 + z) [km/s/(Mpc/h)]: see `hubble` and `growth_rate` in `physics.cosmology`."""
        a = 1.0 / (1.0 + redshift)
        square = omega_m * a**-3 + 1.0 - omega_m
        rate = 0.5 * omega_m * a**-3 / square * (5.0 * a / self._early(a, omega_m) - 3.0)
        return self.growth(redshift, omega_m) * 100.0 * torch.sqrt(square) * rate * a

    def _early(self, a: Tensor, omega_m: Tensor) -> Tensor:
        x = a**3 * (1.0 / omega_m - 1.0)
        return a * (self.weights * (1.0 + x * (1.0 - self.v6)) ** (-1 / 3)).sum()


@register("torch_scaling", "displacement")
class Displacement(nn.Module):
    """x / (6 Mpc/h times D).

    Options:
        rms: the displacement that becomes 1 at redshift 0 [Mpc/h]
    """

    def __init__(self, *, rms: Positive = 6.0) -> None:
        super().__init__()
        self.rms, self.linear = rms, Linear()

    def forward(self, redshift: Tensor, omega_m: Tensor) -> tuple[Tensor, Tensor]:
        """(0, 6 D) [Mpc/h], each (1,) float32."""
        return _spread(self.rms * self.linear.growth(redshift, omega_m))


@register("torch_scaling", "velocity")
class Velocity(nn.Module):
    """x / (6 Mpc/h times D H f / (1 + z)).

    Options:
        rms: the displacement whose velocity becomes 1, at redshift 0 [Mpc/h]
    """

    def __init__(self, *, rms: Positive = 6.0) -> None:
        super().__init__()
        self.rms, self.linear = rms, Linear()

    def forward(self, redshift: Tensor, omega_m: Tensor) -> tuple[Tensor, Tensor]:
        """(0, 6 D H f / (1 + z)) [km/s], each (1,) float32."""
        return _spread(self.rms * self.linear.velocity(redshift, omega_m))


def _spread(value: Tensor) -> tuple[Tensor, Tensor]:
    spread = value.float().reshape(1)
    return torch.zeros_like(spread), spread


class Constants(nn.Module):
    """A shift and a spread of each channel, whatever the sample."""

    def __init__(self, constants: tuple[np.ndarray, np.ndarray] | None) -> None:
        super().__init__()
        for name, value, default in zip(("shift", "spread"), constants or (None, None), (0.0, 1.0), strict=True):
            self.register_buffer(name, torch.full((1,), default) if value is None else torch.from_numpy(value.copy()))

    def forward(self, redshift: Tensor, omega_m: Tensor) -> tuple[Tensor, Tensor]:
        """(shift, spread), each (C,) or (1,) float32."""
        return self.shift, self.spread


class Normal(nn.Module):
    """A `Normalizer` in torch; raises ConfigError for one that cannot be exported.

    transforms, scaling: their names; samples: those whose constants must agree if the scaling has no twin here
    """

    def __init__(
        self,
        transforms: str | Sequence[str],
        scaling: str | Mapping[str, Any],
        normalizer: Normalizer,
        samples: Sequence[Sample],
    ) -> None:
        super().__init__()
        self.transform = Chain([transforms] if isinstance(transforms, str) else transforms)
        options = {"name": scaling} if isinstance(scaling, str) else dict(scaling)
        name = options.pop("name")
        known = name in registry.entries("torch_scaling")
        self.scaling = registry.load("torch_scaling", name)(**options) if known else _fixed(name, normalizer, samples)

    def forward(self, x: Tensor, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """Physical (C, *space) to normalised."""
        shift, spread = self._shaped(x, redshift, omega_m)
        return (self.transform(x) - shift) / spread

    def inverse(self, x: Tensor, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """Normalised (C, *space) to physical."""
        shift, spread = self._shaped(x, redshift, omega_m)
        return self.transform.inverse(x * spread + shift)

    def _shaped(self, x: Tensor, redshift: Tensor, omega_m: Tensor) -> list[Tensor]:
        return [c.reshape(-1, *[1] * (x.ndim - 1)) for c in self.scaling(redshift, omega_m)]


def _fixed(name: str, normalizer: Normalizer, samples: Sequence[Sample]) -> Constants:
    found: list[Any] = [normalizer.scaling.constants(sample) for sample in samples]
    if any(not _same(found[0], other) for other in found):
        raise ConfigError(f'normalize: {name!r} depends on the sample; expected @register("torch_scaling", "{name}")')
    return Constants(found[0])


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Several(nn.Module):
    """The twin of `Parts`; `edges`: the first channel of each part, and the end."""

    def __init__(self, parts: Sequence[Normal], edges: Sequence[int]) -> None:
        super().__init__()
        self.parts, self.edges = nn.ModuleList(parts), list(edges)

    def forward(self, x: Tensor, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """Physical (C, *space) to normalised."""
        return torch.cat([part(own, redshift, omega_m) for part, own in self._each(x)])

    def inverse(self, x: Tensor, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """Normalised (C, *space) to physical."""
        return torch.cat([part.inverse(own, redshift, omega_m) for part, own in self._each(x)])

    def _each(self, x: Tensor) -> list[tuple[Any, Tensor]]:
        return [(part, x[a:b]) for part, (a, b) in zip(self.parts, pairwise(self.edges), strict=True)]


def normal(chosen: Mapping[str, Any], normalizer: Normalizer | Parts, samples: Sequence[Sample]) -> Normal | Several:
    """The twin of `normalizer`, made of the names that the config chose."""
    own = normalizer.parts if isinstance(normalizer, Parts) else [normalizer]
    pairs = zip(normals(chosen).values(), own, strict=True)
    parts = [Normal(part["transform"], part["scaling"], one, samples) for part, one in pairs]
    return Several(parts, normalizer.edges) if isinstance(normalizer, Parts) else parts[0]
