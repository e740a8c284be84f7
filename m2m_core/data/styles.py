"""What a styled network is told of a sample beside its field: cosmology, redshift, growth, numbers of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from ..physics.cosmology import growth
from .parameters import TOLD

__all__ = ["Styles"]

PLAIN = {"shift": 0.0, "spread": 1.0}


class Styles:
    """The numbers of a sample that a network is told beside its field: (value - shift) / spread of each.

    chosen: name -> {"shift": number or None, "spread": number or None}; what is not given is the mean and the standard
        deviation over the `training` samples, 1 if they agree
    plain: names that are told first, in this order, and as they are unless given
    Raises DataError on a name that the samples do not have.
    """

    def __init__(self, chosen: Mapping[str, Mapping], training: Sequence[Any], plain: Sequence[str] = ()) -> None:
        first = [name for name in plain if name in chosen]
        self.names = first + [name for name in chosen if name not in first]
        given = {name: (PLAIN if name in first else {}) | _known(chosen[name]) for name in self.names}
        values = np.array([self._raw(sample) for sample in training]).reshape(len(training), len(self.names))
        self.shift = np.array([_or(given[n].get("shift"), v.mean()) for n, v in zip(self.names, values.T, strict=True)])
        spread = [_or(given[n].get("spread"), v.std()) for n, v in zip(self.names, values.T, strict=True)]
        self.spread = np.array([value if value > 0 else 1.0 for value in spread])

    def __len__(self) -> int:
        return len(self.names)

    def of(self, sample: Any) -> np.ndarray:
        """(styles,) float32."""
        return ((self._raw(sample) - self.shift) / self.spread).astype("f4")

    def _raw(self, sample: Any) -> np.ndarray:
        known = {"redshift": sample.redshift, "omega_m": sample.omega_m, **sample.parameters}
        if "growth" in self.names:
            known.setdefault("growth", growth(sample.redshift, sample.omega_m))
        if missing := [name for name in self.names if name not in known]:
            expected = f"expected one of {', '.join([*TOLD, *sample.parameters])}"
            raise DataError(f"styles: sample {sample.id!r} has no number {missing[0]!r}; {expected}")
        return np.array([known[name] for name in self.names], float)


def _known(style: Mapping) -> dict[str, Any]:
    return {key: value for key, value in style.items() if value is not None}


def _or(given: float | None, otherwise: float) -> float:
    return float(otherwise if given is None else given)
