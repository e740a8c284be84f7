"""How many are found, and how many are taken for what they are not."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import judging
from ...registry import register
from .. import judged, labels, style
from ..results import ExperimentResults

__all__ = ["roc"]

POINTS = np.linspace(0, 1, 201)


@register("label_figure", "roc")
def roc(results: ExperimentResults) -> Figure:
    """ROC curves of held-out samples and of their slices; mean and standard deviation over the folds."""
    label = next(iter(results.labels), None)
    if label is None:
        return style.blank("No answer was judged.")
    kinds = [of for of in ("samples", "slices") if judged.has(results, label, of)]
    figure, axes = style.canvas(len(kinds), [3.4], width=4.2 * len(kinds))
    for panel, of in zip(axes.flat, kinds, strict=True):
        panel.plot([0, 1], [0, 1], color="#9aa0a6", lw=0.9, ls=(0, (4, 3)), zorder=0, label="chance")
        for source in results.sources:
            _curves(panel, results, label, source, of)
        panel.set(xlabel="rate of false positives", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        panel.set_title(style.plain(f"{label}: {of}"))
    axes[0, 0].set_ylabel("rate of true positives")
    style.legend(figure, axes.flat)
    return figure


def _curves(axes: Axes, results: ExperimentResults, label: str, source: str, of: str) -> None:
    """The mean curve over folds and classes, the folds' spread as a band, the area beside it."""
    curves: dict[int, list[judging.Curve]] = {}
    for _, rows in judged.each_class(results, label, source, of):
        for fold, part in rows.groupby("fold"):
            if found := judging.roc(part["x"], part["positive"], part["count"]):
                curves.setdefault(int(fold), []).append(found)
    if not curves:
        return
    heights = np.array([np.mean([_height(curve) for curve in found], axis=0) for found in curves.values()])
    mean, look = heights.mean(0), style.line(source, results.baselines)
    axes.plot(np.append(0, POINTS), np.append(0, mean), label=style.plain(judged.named(source)), **look)
    if len(heights) > 1:
        spread = heights.std(0, ddof=1)
        low, high = np.clip(mean - spread, 0, 1), np.clip(mean + spread, 0, 1)
        axes.fill_between(POINTS, low, high, color=look["color"], alpha=0.16, lw=0, zorder=1)
    areas = np.array([np.mean([curve.area for curve in found]) for found in curves.values()])
    text = f"AUC {labels.measure(areas.mean(), areas.std(ddof=1) if len(areas) > 1 else np.nan, 3)}"
    axes.text(0.97, 0.05 + 0.07 * results.sources.index(source), text, color=look["color"], ha="right", fontsize=8.5)


def _height(curve: judging.Curve) -> np.ndarray:
    """True positives where so many are false, the most of them."""
    return curve.true[np.searchsorted(curve.false, POINTS, side="right") - 1]
