"""The one-point distribution: how often does each value occur?"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from ...registry import register
from .. import style
from ..results import EMULATOR, Curve, ExperimentResults

__all__ = ["one_point"]

POINTS = 200
DECADES = 4  # below the maximum


@register("figure", "one_point")
def one_point(results: ExperimentResults) -> Figure:
    """One-point distribution of truth, emulator and baselines, averaged over the held-out samples."""
    return style.by_field(results, "pdf", "No one-point distribution was measured.", {_distribution: 2.7})


def _distribution(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.set_yscale("log")
    curves = {"truth": _pooled(results.rows(field, "pdf_truth", EMULATOR))}
    curves |= {source: _pooled(results.rows(field, "pdf", source)) for source in results.sources}
    for source, curve in curves.items():
        style.draw_curve(axes, curve, source, results, band=source == EMULATOR)
    top = max(float(np.nanmax(curve.mean)) for curve in curves.values() if curve is not None)
    axes.set_ylim(top * 10.0**-DECADES, top * 2)
    axes.set_xlim(*_extent([curve for curve in curves.values() if curve is not None], top * 10.0**-DECADES))
    style.title(axes, results, field)
    axes.set_xlabel(style.variable(results, field))
    axes.set_ylabel("probability density")


def _extent(curves: list[Curve], floor: float) -> tuple[float, float]:
    """The values around the maxima that occur more often than `floor`, without islands, and some room."""
    low, high = np.inf, -np.inf
    for curve in curves:
        below = np.flatnonzero(~(curve.mean > floor))
        peak = int(np.nanargmax(curve.mean))
        low = min(low, curve.x[max(below[below < peak], default=0)])
        high = max(high, curve.x[min(below[below > peak], default=len(curve.x) - 1)])
    room = 0.03 * (high - low)
    return float(low - room), float(high + room)


def _pooled(rows: DataFrame) -> Curve | None:
    """Mean over the samples on common points: each sample has bins of its own, and no values beyond its last."""
    if rows.empty:
        return None
    points = np.linspace(rows["x"].min(), rows["x"].max(), POINTS)
    samples = [part.sort_values("x") for _, part in rows.groupby(["fold", "sample"], observed=True)]
    densities = np.array([np.interp(points, part["x"], part["value"], left=0, right=0) for part in samples])
    spread = densities.std(axis=0, ddof=1) if len(densities) > 1 else np.full(POINTS, np.nan)
    return Curve(points, densities.mean(axis=0), spread, len(densities))
