"""The cross-correlation: are the structures in the right place at every scale?"""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import Curve, ExperimentResults

__all__ = ["correlation"]

SMALLEST = 1e-9  # of 1 - r^2: below is rounding


@register("figure", "correlation")
def correlation(results: ExperimentResults) -> Figure:
    """Cross-correlation r(k) with the truth, and the fraction 1 − r² of the variance that no linear filter recovers."""
    return style.by_field(
        results, "cross_correlation", "No cross-correlation was measured.", {_correlation: 2.2, _stochasticity: 2.2}
    )


def _correlation(axes: Axes, results: ExperimentResults, field: str) -> None:
    style.about_one(axes, results, field, "cross_correlation", low=-1.0, high=1.02)
    axes.set_xlabel("")
    axes.set_ylabel(r"$r(k)$")


def _stochasticity(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.set_yscale("log")
    for source in results.sources:
        style.draw_curve(axes, _lost(results, field, source), source, results)
    style.wavenumbers(axes, results)
    axes.set_ylabel(r"$1 - r^2(k)$")


def _lost(results: ExperimentResults, field: str, source: str) -> Curve | None:
    rows = results.rows(field, "cross_correlation", source)
    curve = results.joined(rows.assign(value=1 - rows["value"] ** 2))
    return curve and replace(curve, mean=np.maximum(curve.mean, SMALLEST))
