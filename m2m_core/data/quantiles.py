"""Quantiles of many samples from a small sketch of each, which any set of samples can be pooled from.

A sketch is made in one pass and bounded memory: a histogram whose bins follow the digits of a float, of values about a
pivot near their mean. It keeps 257 values, dense in both tails. The part q of all values that lies below a pooled
quantile is right to pi / 256 sqrt(q (1 - q)), that is to 0.6 % at the quartiles, and where values are spread smoothly
to 0.01 %; a value itself to 1/4000 of its distance from the pivot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FRACTIONS", "KNOTS", "Histogram", "Sketch", "pooled"]

KNOTS = 256
FRACTIONS = np.sin(np.linspace(0.0, np.pi / 2, KNOTS + 1)) ** 2  # of the values below each knot
HIGHEST = float(np.finfo(np.float32).max)
BITS = 20  # of a float32 that tell its bin: sign, exponent, and eleven binary digits
DROPPED = 32 - BITS
HALVINGS = 200  # of an interval of floats: enough to find the last bit


@dataclass(frozen=True)
class Sketch:
    """Of `count` values, those at FRACTIONS."""

    count: int
    knots: Sequence[float]

    def below(self, value: float) -> float:
        """The part of the values up to `value`."""
        if value < self.knots[0]:
            return 0.0
        return float(np.interp(value, self.knots, FRACTIONS))


class Histogram:
    """Counts of values about `pivot`, in 2^20 bins of the same relative width."""

    def __init__(self) -> None:
        self.pivot: float | None = None
        self.counts = np.zeros(2**BITS, np.int64)

    def add(self, values: np.ndarray, pivot: float) -> None:
        """Take in finite values, float64; the first call chooses the pivot for all."""
        self.pivot = pivot if self.pivot is None else self.pivot
        distances = np.clip(values - self.pivot, -HIGHEST, HIGHEST).astype(np.float32)
        self.counts += np.bincount(_codes(distances), minlength=2**BITS)

    def sketch(self) -> Sketch:
        """The knots, each in the middle of its bin: equal values stay equal."""
        total = int(self.counts.sum())
        if not total:
            return Sketch(0, ())
        bins = np.flatnonzero(self.counts)
        after = np.cumsum(self.counts[bins])
        at = np.minimum(np.searchsorted(after, FRACTIONS * total), len(bins) - 1)
        knots = (self.pivot + _middles(bins[at])).astype(np.float32)
        return Sketch(total, tuple(float(str(knot)) for knot in knots))  # as few digits as a float32 needs


def pooled(sketches: Sequence[Sketch], fraction: float) -> float:
    """The value with `fraction` of all values below it; the same whatever the order of the sketches."""
    sketches = [sketch for sketch in sketches if sketch.count]
    total = sum(sketch.count for sketch in sketches)
    low, high = min(s.knots[0] for s in sketches), max(s.knots[-1] for s in sketches)
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        part = math.fsum(sketch.count * sketch.below(middle) for sketch in sketches) / total
        low, high = (middle, high) if part < fraction else (low, middle)
    return high


def _codes(values: np.ndarray) -> np.ndarray:
    """Bin of each float32: integers in the order of the numbers."""
    bits = (values + np.float32(0)).view(np.uint32)  # no -0.0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
    return ordered >> DROPPED


def _middles(bins: np.ndarray) -> np.ndarray:
    """The number in the middle of each bin [float64]."""
    ordered = (bins.astype(np.uint32) << DROPPED) + np.uint32(2 ** (DROPPED - 1))
    bits = np.where(ordered >> 31, ordered & np.uint32(2**31 - 1), ~ordered)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)
