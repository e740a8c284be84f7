"""The one-point distribution: how often each value occurs, wherever it is."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from ..options import Count, Positive
from ..physics.smoothing import smooth
from ..registry import register
from .comparison import Comparison

__all__ = ["one_point"]


@register("metric", "one_point")
def one_point(
    comparison: Comparison,
    *,
    bins: Count = 50,
    smoothing: Positive | None = None,
    filter: Literal["top_hat", "gaussian"] = "top_hat",
) -> Iterator[tuple[str, float | None, float]]:
    """Probability densities of prediction and truth over common bins, and the distance between the two distributions.

    Of densities the variable is log10(1 + delta); of other fields the value itself, all components together.
    Rows: `pdf` and `pdf_truth` [1 / unit of the variable], x the middle of a bin, unless all values are equal;
    `wasserstein`, the mean distance [the variable's unit] that values must move to turn one distribution into the
    other. Empty cells of a density, 1 + delta <= 0, have no logarithm: they are the part of a pdf's integral that is
    missing from 1, `empty` and `empty_truth`, and the distance leaves them out.

    Options:
        bins: bins between the smallest and the largest value of both
        smoothing: radius of a smoothing applied first (boxes that do not repeat lose a margin); none by default [Mpc/h]
        filter: shape of the smoothing: a ball of that radius, or a Gaussian of that standard deviation
    """
    pair = [comparison.prediction, comparison.truth]
    if smoothing is not None:
        pair = [_smoothed(field, comparison, smoothing, filter) for field in pair]
    cells = pair[0].size
    if comparison.is_density:
        pair = [_logarithm(field) for field in pair]
        for name, values in zip(("empty", "empty_truth"), pair, strict=True):
            yield name, None, 1 - values.size / max(cells, 1)
    values, truth = (np.ravel(field) for field in pair)
    yield from _histograms(values, truth, cells, bins)
    if values.size and truth.size:
        yield "wasserstein", None, _wasserstein(values, truth)


def _smoothed(field: np.ndarray, comparison: Comparison, radius: float, shape: str) -> np.ndarray:
    """`field` smoothed; along axes on which the box does not repeat, without the margin that saw the opposite face."""
    smoothed = smooth(field, comparison.box_size, radius, shape)
    if comparison.around is None or comparison.periodic:
        return smoothed
    reach = radius if shape == "top_hat" else 3 * radius
    cells = [length / n for length, n in zip(comparison.box_size, field.shape[1:], strict=True)]
    known = zip(cells, field.shape[1:], comparison.around, strict=True)
    margins = [0 if goes_on else min(math.ceil(reach / cell), n // 2 + 1) for cell, n, goes_on in known]
    return smoothed[(slice(None), *(slice(m, n - m) for m, n in zip(margins, field.shape[1:], strict=True)))]


def _logarithm(overdensity: np.ndarray) -> np.ndarray:
    """log10(1 + delta) of the cells that hold anything, as a list."""
    mass = 1 + np.ravel(overdensity)
    return np.log10(mass[mass > 0])


def _histograms(values: np.ndarray, truth: np.ndarray, cells: int, bins: int) -> Iterator[tuple[str, float, float]]:
    present = [x for x in (values, truth) if x.size]
    low, high = min((float(x.min()) for x in present), default=0.0), max((float(x.max()) for x in present), default=0.0)
    resolution = max((float(np.spacing(np.abs([low, high]).max().astype(x.dtype))) for x in present), default=0.0)
    width = (high - low) / bins
    if width <= 2 * resolution:
        return
    middles = low + width * (np.arange(bins) + 0.5)
    for name, x in (("pdf", values), ("pdf_truth", truth)):
        counts, _ = np.histogram(x, bins, (low, high))
        yield from ((name, middle, count / (cells * width)) for middle, count in zip(middles, counts, strict=True))


def _wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """The first Wasserstein distance of two sets of values: the area between their cumulative distributions."""
    a, b = np.sort(a), np.sort(b)
    if a.size == b.size:
        return np.mean(np.abs(a - b), dtype=np.float64)
    steps = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(x, steps[:-1], "right") / x.size for x in (a, b)]
    return np.sum(np.abs(shares[0] - shares[1]) * np.diff(steps), dtype=np.float64)
