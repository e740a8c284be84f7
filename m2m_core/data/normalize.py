"""Normalisation: pointwise transforms, then a scaling per channel; both exactly invertible, in place on float32."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np

from .. import registry
from ..errors import DataError
from .scalings import Constants
from .transforms import Chain, Transform, transform

__all__ = ["Normal", "Normalizer", "Parts", "edges", "normalizer", "normals", "told"]

Scaling = str | Mapping[str, Any]  # a name, or the name with options


class Normal(Protocol):
    """What makes a field (C, *space) dimensionless, in place, and back."""

    def forward(self, x: np.ndarray, sample: Any) -> np.ndarray: ...
    def inverse(self, x: np.ndarray, sample: Any) -> np.ndarray: ...
    def constants(self, sample: Any, channels: int) -> Constants: ...


class Normalizer:
    """Transforms and scaling of one field by name; `statistics` are those of the field: count, mean, std, min, max.

    `first`: its first channel, where it is a part of a field. Raises DataError when a channel has zero spread, or when
    a value lies outside the domain of a transform.
    """

    def __init__(
        self, transforms: str | Sequence[str], scaling: Scaling, statistics: Mapping | None = None, first: int = 0
    ) -> None:
        names = [transforms] if isinstance(transforms, str) else list(transforms)
        self.transform: Transform = transform(names)
        self.steps = Chain(names).steps
        options = {"name": scaling} if isinstance(scaling, str) else dict(scaling)
        self.scaling = registry.load("scaling", options.pop("name"))(statistics, **options)
        self.first = first

    def forward(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Normalise `x` (C, *space), float32, in place, and return it; NaN stays NaN."""
        for name, step in self.steps:
            self._check(name, step, x, sample)
            x = step.forward(x)
        if (constants := self._shaped(x, sample)) is not None:
            if constants[0].any():  # else one pass through memory less
                x -= constants[0]
            x /= constants[1]
        return x

    def inverse(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Undo `forward` in place, up to the rounding of float32."""
        if (constants := self._shaped(x, sample)) is not None:
            x *= constants[1]
            x += constants[0]
        return self.transform.inverse(x)

    def constants(self, sample: Any, channels: int) -> Constants:
        """(shift, spread) of the scaling, each (channels,) float32."""
        found = self.scaling.constants(sample) or (np.zeros(1), np.ones(1))
        return tuple(np.broadcast_to(c, (channels,)).astype("f4") for c in found)  # type: ignore[return-value]

    def _check(self, name: str, step: Transform, x: np.ndarray, sample: Any) -> None:
        outside = step.outside(x)
        if outside.any():
            index = tuple(map(int, np.argwhere(outside)[0]))
            place = index[0] + self.first, *index[1:]
            raise DataError(f"sample {sample.id!r}: {name}: value {x[index]} at {place}; expected {step.domain}")

    def _shaped(self, x: np.ndarray, sample: Any) -> Constants | None:
        constants = self.scaling.constants(sample)
        if constants is None:
            return None
        shift, spread = (c.reshape(-1, *[1] * (x.ndim - 1)) for c in constants)
        if len(shift) not in (1, len(x)):
            raise DataError(f"sample {sample.id!r}: {len(x)} channels; its statistics have {len(shift)}")
        return shift, spread


class Parts:
    """The parts of a field along its channels, each normalised in its own way; `edges`: first channels, and the end."""

    def __init__(self, parts: Sequence[Normalizer], edges: Sequence[int]) -> None:
        self.parts, self.edges = parts, edges

    def forward(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Normalise `x` (C, *space), float32, in place, and return it; NaN stays NaN."""
        for part, own in self._each(x):
            part.forward(own, sample)
        return x

    def inverse(self, x: np.ndarray, sample: Any) -> np.ndarray:
        """Undo `forward` in place, up to the rounding of float32."""
        for part, own in self._each(x):
            part.inverse(own, sample)
        return x

    def constants(self, sample: Any, channels: int) -> Constants:
        """(shift, spread) of the scaling of each part, each (channels,) float32."""
        pairs = zip(self.parts, pairwise(self.edges), strict=True)
        found = [part.constants(sample, b - a) for part, (a, b) in pairs]
        return tuple(map(np.concatenate, zip(*found, strict=True)))  # type: ignore[return-value]

    def _each(self, x: np.ndarray) -> list[tuple[Normalizer, np.ndarray]]:
        return [(part, x[a:b]) for part, (a, b) in zip(self.parts, pairwise(self.edges), strict=True)]


def normals(chosen: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parts of a field, in the order of their names, which is that of its channels -> transform and scaling.

    A field that is normalised as a whole is one part without a name.
    """
    return {"": chosen} if "transform" in chosen else dict(sorted(chosen.items()))


def told(chosen: Mapping[str, Any]) -> tuple[str, str]:
    """(transform, scaling) in a word each, "identity" where no part has any other."""
    chains = [[p["transform"]] if isinstance(p["transform"], str) else p["transform"] for p in normals(chosen).values()]
    scalings = [
        p["scaling"] if isinstance(p["scaling"], str) else p["scaling"]["name"] for p in normals(chosen).values()
    ]
    return _named(name for names in chains for name in names), _named(scalings)


def _named(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name != "identity")) or "identity"


def edges(chosen: Mapping[str, Any], channels: Sequence[int], field: str) -> list[int]:
    """First channel of each part that is normalised, and the end; `channels`: those of each part in the catalogue.

    Raises DataError when there are other parts than are named.
    """
    found = normals(chosen)
    if "" in found:
        return [0, sum(channels)]
    if len(found) != len(channels):
        text = f"{len(found)} parts ({', '.join(found)}); the catalogue has {len(channels)}"
        raise DataError(f"normalize.{field}: {text}; expected each by its name")
    return [0, *accumulate(channels)]


def normalizer(chosen: Mapping[str, Any], statistics: Mapping | None, channels: Sequence[int], field: str) -> Normal:
    """The normalisation of a field as the config chose it, see `edges`."""
    places, found = edges(chosen, channels, field), normals(chosen)
    if "" in found:
        return Normalizer(chosen["transform"], chosen["scaling"], statistics)
    parts = [
        Normalizer(part["transform"], part["scaling"], _within(statistics, a, b), first=a)
        for part, (a, b) in zip(found.values(), pairwise(places), strict=True)
    ]
    return Parts(parts, places)


def _within(statistics: Any, start: int, end: int) -> Any:
    """The statistics of some channels."""
    if isinstance(statistics, Mapping):
        return {key: _within(value, start, end) for key, value in statistics.items()}
    return statistics[start:end] if isinstance(statistics, list) else statistics
