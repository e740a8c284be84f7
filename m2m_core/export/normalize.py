"""The normalisations of `data.normalize` once more as torch modules, so that they can be part of an exported program.

A transform of a plugin is exported with `@register("torch_transform", name)` beside it, a scaling that depends on the
sample with `@register("torch_scaling", name)`. Any other scaling is exported as its constants.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import registry
from ..data.catalogue import Sample
from ..data.normalize import TYPICAL_DISPLACEMENT, Normalizer
from ..errors import ConfigError
from ..registry import register

__all__ = ["Displacement", "Identity", "Log1p", "Normal", "normal"]

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


@register("torch_scaling", "displacement")
class Displacement(nn.Module):
    """x / (6 Mpc/h times D), D the linear growth factor of a flat universe, 1 at redshift 0.

    D is Euler's integral of the hypergeometric function in `physics.cosmology`, with t = 1 - v^6: proportional to a
    times the integral of 5 v^4 (1 + x (1 - v^6))^(-1/3) over v from 0 to 1, where x = a^3 (1 / omega_m - 1).
    """

    def __init__(self) -> None:
        super().__init__()
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        v = (nodes + 1.0) / 2.0
        self.register_buffer("v6", torch.from_numpy(v**6))
        self.register_buffer("weights", torch.from_numpy(2.5 * weights * v**4))

    def forward(self, redshift: Tensor, omega_m: Tensor) -> tuple[Tensor, Tensor]:
        """(0, 6 D) [Mpc/h], each (1,) float32."""
        spread = (TYPICAL_DISPLACEMENT * self.growth(redshift, omega_m)).float().reshape(1)
        return torch.zeros_like(spread), spread

    def growth(self, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """D at a redshift, all 0-dimensional float64."""
        return self._early(1.0 / (1.0 + redshift), omega_m) / self._early(torch.ones_like(redshift), omega_m)

    def _early(self, a: Tensor, omega_m: Tensor) -> Tensor:
        x = a**3 * (1.0 / omega_m - 1.0)
        return a * (self.weights * (1.0 + x * (1.0 - self.v6)) ** (-1 / 3)).sum()


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

    transform, scaling: their names; samples: those whose constants must agree if the scaling has no twin here
    """

    def __init__(self, transform: str, scaling: str, normalizer: Normalizer, samples: Sequence[Sample]) -> None:
        super().__init__()
        self.transform = registry.load("torch_transform", transform)()
        known = scaling in registry.entries("torch_scaling")
        self.scaling = registry.load("torch_scaling", scaling)() if known else _fixed(scaling, normalizer, samples)

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


def normal(chosen: Mapping[str, str], normalizer: Normalizer, samples: Sequence[Sample]) -> Normal:
    """The twin of `normalizer`, made of the names that the config chose."""
    return Normal(chosen["transform"], chosen["scaling"], normalizer, samples)
