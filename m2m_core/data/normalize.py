"""Normalisation: a pointwise transform, then a scaling per channel; both exactly invertible, in place on float32."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .. import registry
from ..errors import DataError
from ..physics.cosmology import growth
from ..registry import register

__all__ = ["Displacement", "Identity", "Log1p", "MinMax", "NoScaling", "Normalizer", "Standardise", "transform"]

TYPICAL_DISPLACEMENT = 6.0  # [Mpc/h], at redshift 0: near the one-dimensional rms of LambdaCDM
Constants = tuple[np.ndarray, np.ndarray]


class Transform(Protocol):
    """A pointwise function and its inverse, both in place, for float32 and float64."""

    domain: str

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray: ...
    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray: ...
    @staticmethod
    def inverse(x: np.ndarray) -> np.ndarray: ...


@register("transform", "identity")
class Identity:
    """Leave the values as they are."""

    domain = "any number"

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray:
        """Where the transform is not defined: nowhere."""
        return np.zeros((), bool)

    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray:
        """x."""
        return x

    inverse = forward


@register("transform", "log1p")
class Log1p:
    """log(1 + x): for an overdensity, the logarithm of the density in units of its mean."""

    domain = "values above -1"

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray:
        """Where the transform is not defined."""
        return x <= -1

    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray:
        """log(1 + x), in place."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(x, out=x)

    @staticmethod
    def inverse(x: np.ndarray) -> np.ndarray:
        """exp(x) - 1, in place."""
        with np.errstate(over="ignore"):
            return np.expm1(x, out=x)


@register("scaling", "identity")
class NoScaling:
    """Leave the values as they are."""

    def __init__(self, statistics: Mapping | None) -> None:
        pass

    def constants(self, sample: Any) -> Constants | None:
        """No shift and no spread."""
        return None


@register("scaling", "standardise")
class Standardise:
    """(x - mean) / std of each channel over the training samples."""

    def __init__(self, statistics: Mapping | None) -> None:
        self.fixed = _constants(_needed(statistics, "mean"), _needed(statistics, "std"))

    def constants(self, sample: Any) -> Constants | None:
        """(mean, std), each (C,) float32."""
        return self.fixed


@register("scaling", "minmax")
class MinMax:
    """(x - min) / (max - min) of each channel over the training samples."""

    def __init__(self, statistics: Mapping | None) -> None:
        low, high = _needed(statistics, "min"), _needed(statistics, "max")
        self.fixed = _constants(low, high - low)

    def constants(self, sample: Any) -> Constants | None:
        """(min, max - min), each (C,) float32."""
        return self.fixed


@register("scaling", "displacement")
class Displacement:
    """x / (6 Mpc/h times D), D the linear growth factor at the sample's redshift, 1 today: no statistics needed."""

    def __init__(self, statistics: Mapping | None) -> None:
        pass

    def constants(self, sample: Any) -> Constants | None:
        """(0, 6 D) [Mpc/h], each (1,) float32."""
        spread = TYPICAL_DISPLACEMENT * growth(sample.redshift, sample.omega_m)
        return _constants(np.zeros(1), np.array([spread]))


class Normalizer:
    """Transform and scaling of one field by name; `statistics` are those of the field: count, mean, std, min, max.

    Raises DataError when a channel has zero spread, or when a value lies outside the transform's domain.
    """

    def __init__(self, transform: str, scaling: str, statistics: Mapping | None = None) -> None:
        self.transform: Transform = registry.load("transform", transform)
        self.scaling = registry.load("scaling", scaling)(statistics)
        self.name = transform

    def forward(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Normalise `x` (C, *space), float32, in place, and return it; NaN stays NaN."""
        self._check(x, sample)
        x = self.transform.forward(x)
        if (constants := self._shaped(x, sample)) is not None:
            x -= constants[0]
            x /= constants[1]
        return x

    def inverse(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Undo `forward` in place, up to the rounding of float32."""
        if (constants := self._shaped(x, sample)) is not None:
            x *= constants[1]
            x += constants[0]
        return self.transform.inverse(x)

    def _check(self, x: np.ndarray, sample: Any) -> None:
        outside = self.transform.outside(x)
        if outside.any():
            index = tuple(map(int, np.argwhere(outside)[0]))
            raise DataError(
                f"sample {sample.id!r}: {self.name}: value {x[index]} at {index}; expected {self.transform.domain}"
            )

    def _shaped(self, x: np.ndarray, sample: Any) -> Constants | None:
        constants = self.scaling.constants(sample)
        if constants is None:
            return None
        shift, spread = (c.reshape(-1, *[1] * (x.ndim - 1)) for c in constants)
        if len(shift) not in (1, len(x)):
            raise DataError(f"sample {sample.id!r}: {len(x)} channels; its statistics have {len(shift)}")
        return shift, spread


def transform(name: str) -> Transform:
    """The transform called `name`."""
    return registry.load("transform", name)


def _needed(statistics: Mapping | None, key: str) -> np.ndarray:
    if statistics is None or key not in statistics:
        raise DataError(f"statistics: no {key!r}; expected the training samples' moments of every channel")
    return np.asarray(statistics[key], "f8")


def _constants(shift: np.ndarray, spread: np.ndarray) -> Constants:
    """As float32, so that the inverse uses the very numbers of the way forth."""
    narrow = spread.astype("f4")
    for channel in np.flatnonzero(~(narrow > 0)):
        raise DataError(f"statistics: channel {channel} has zero spread; cannot normalise")
    if not (np.isfinite(shift).all() and np.isfinite(narrow).all()):
        raise DataError("statistics: not finite; cannot normalise")
    return shift.astype("f4"), narrow
