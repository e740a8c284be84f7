"""Shift and spread of each channel, from the training samples of a fold or from linear theory at its redshift."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import DataError
from ..options import Annotated, Field, Positive
from ..physics.cosmology import growth, growth_rate, hubble
from ..registry import register

__all__ = ["Constants", "Displacement", "MinMax", "NoScaling", "Robust", "Standardise", "Velocity", "of_robust"]

Constants = tuple[np.ndarray, np.ndarray]


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


@register("quantiles", "robust")
def of_robust(
    *,
    low: Annotated[float, Field(gt=0, lt=0.5)] = 0.25,
    high: Annotated[float, Field(gt=0.5, lt=1)] = 0.75,
) -> tuple[float, ...]:
    """The quantiles that the scaling `robust` needs.

    Options:
        low: part of the values below the lower quantile
        high: part of the values below the upper quantile
    """
    return low, 0.5, high


@register("scaling", "robust")
class Robust:
    """(x - median) / (high - low quantile) of each channel over the training samples: outliers have no say.

    Options:
        low: part of the values below the lower quantile
        high: part of the values below the upper quantile
    """

    def __init__(
        self,
        statistics: Mapping | None,
        *,
        low: Annotated[float, Field(gt=0, lt=0.5)] = 0.25,
        high: Annotated[float, Field(gt=0.5, lt=1)] = 0.75,
    ) -> None:
        known = (statistics or {}).get("quantiles")
        below, median, above = (_needed(known, repr(part)) for part in of_robust(low=low, high=high))
        self.fixed = _constants(median, above - below)

    def constants(self, sample: Any) -> Constants | None:
        """(median, distance of the quantiles), each (C,) float32."""
        return self.fixed


@register("scaling", "displacement")
class Displacement:
    """x / (6 Mpc/h times D), D the linear growth factor at the sample's redshift, 1 today: no statistics needed.

    Options:
        rms: the displacement that becomes 1 at redshift 0, near the one-dimensional rms of LambdaCDM [Mpc/h]
    """

    def __init__(self, statistics: Mapping | None, *, rms: Positive = 6.0) -> None:
        self.rms = rms

    def constants(self, sample: Any) -> Constants | None:
        """(0, 6 D) [Mpc/h], each (1,) float32."""
        return _displacement(self.rms, sample.redshift, sample.omega_m)


@register("scaling", "velocity")
class Velocity:
    """x / (6 Mpc/h times D H f / (1 + z)), the peculiar velocity of that displacement in linear theory.

    D, the Hubble rate H and f = d ln D / d ln a are those of the sample's redshift z and omega_m: no statistics needed.

    Options:
        rms: the displacement whose velocity becomes 1, at redshift 0 [Mpc/h]
    """

    def __init__(self, statistics: Mapping | None, *, rms: Positive = 6.0) -> None:
        self.rms = rms

    def constants(self, sample: Any) -> Constants | None:
        """(0, 6 D H f / (1 + z)) [km/s], each (1,) float32."""
        return _velocity(self.rms, sample.redshift, sample.omega_m)


@lru_cache(maxsize=4096)
def _displacement(rms: float, z: float, omega_m: float) -> Constants:
    return _constants(np.zeros(1), np.array([rms * growth(z, omega_m)]))


@lru_cache(maxsize=4096)
def _velocity(rms: float, z: float, omega_m: float) -> Constants:
    rate = growth(z, omega_m) * hubble(z, omega_m) * growth_rate(z, omega_m) / (1.0 + z)
    return _constants(np.zeros(1), np.array([rms * rate]))


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
