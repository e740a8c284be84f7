"""Pointwise functions that make a field dimensionless, each with its domain and its exact inverse; chains of them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .. import registry
from ..registry import register

__all__ = ["EXP", "EXPM1", "Chain", "Exp", "Expm1", "Identity", "Log", "Log1p", "Transform", "transform"]

EXP = -87.0, 88.0  # exponents whose exponential is a float32 of all its digits
EXPM1 = -5.0, 88.0  # below, the digits next to -1 are too few for a logarithm


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


@register("transform", "log")
class Log:
    """log(x), of values above 0: no small number is added, so the inverse is exact; for zeros take log1p."""

    domain = "values above 0"

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray:
        """Where the transform is not defined."""
        return x <= 0

    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray:
        """log(x), in place."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(x, out=x)

    @staticmethod
    def inverse(x: np.ndarray) -> np.ndarray:
        """exp(x), in place."""
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(x, out=x)


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


@register("transform", "exp")
class Exp:
    """exp(x), of values from -87 to 88: beyond, a float32 has no digits left to undo it."""

    domain = "values from -87 to 88"

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray:
        """Where the transform is not defined, or cannot be undone."""
        return (x < EXP[0]) | (x > EXP[1])

    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray:
        """exp(x), in place; NaN where it could not be undone."""
        x[Exp.outside(x)] = np.nan
        return np.exp(x, out=x)

    @staticmethod
    def inverse(x: np.ndarray) -> np.ndarray:
        """log(x), in place; what no value of the domain leads to, as of a network, is undone to its nearest end."""
        return np.log(np.clip(x, *np.exp(EXP), out=x), out=x)


@register("transform", "expm1")
class Expm1:
    """exp(x) - 1, of values from -5 to 88: below, it is so near to -1 that a float32 keeps too few digits of x."""

    domain = "values from -5 to 88"

    @staticmethod
    def outside(x: np.ndarray) -> np.ndarray:
        """Where the transform is not defined, or cannot be undone."""
        return (x < EXPM1[0]) | (x > EXPM1[1])

    @staticmethod
    def forward(x: np.ndarray) -> np.ndarray:
        """exp(x) - 1, in place; NaN where it could not be undone."""
        x[Expm1.outside(x)] = np.nan
        return np.expm1(x, out=x)

    @staticmethod
    def inverse(x: np.ndarray) -> np.ndarray:
        """log(1 + x), in place; what no value of the domain leads to is undone to its nearest end."""
        return np.log1p(np.clip(x, *np.expm1(EXPM1), out=x), out=x)


class Chain:
    """Several transforms, one after the other; each has to be defined where the one before it leads."""

    def __init__(self, names: Sequence[str]) -> None:
        self.steps: list[tuple[str, Transform]] = [(name, registry.load("transform", name)) for name in names]

    @property
    def domain(self) -> str:
        """That of each transform in turn."""
        return ", then ".join(f"{name}: {step.domain}" for name, step in self.steps)

    def outside(self, x: np.ndarray) -> np.ndarray:
        """Where one of the transforms is not defined; `x` is left as it is."""
        found, x = np.zeros(x.shape, bool), x.copy()
        for _, step in self.steps:
            found |= step.outside(x)
            x = step.forward(x)
        return found

    def forward(self, x: np.ndarray) -> np.ndarray:
        """All of them, in place."""
        for _, step in self.steps:
            x = step.forward(x)
        return x

    def inverse(self, x: np.ndarray) -> np.ndarray:
        """All inverses, the last first, in place."""
        for _, step in reversed(self.steps):
            x = step.inverse(x)
        return x


def transform(names: str | Sequence[str]) -> Transform:
    """The transform of that name, or the chain of those names."""
    names = [names] if isinstance(names, str) else list(names)
    return registry.load("transform", names[0]) if len(names) == 1 else Chain(names)
