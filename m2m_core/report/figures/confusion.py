"""What is taken for what."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import judged, labels, style
from ..results import ExperimentResults

__all__ = ["confusion"]

SHOWN = 12  # classes whose numbers can be read


@register("label_figure", "confusion")
def confusion(results: ExperimentResults) -> Figure:
    """Confusion of the classes of held-out samples and their slices: counts of all folds, and shares of each truth."""
    label = next(iter(results.labels), None)
    if label is None:
        return style.blank("No answer was judged.")
    kinds = [of for of in ("samples", "slices") if judged.has(results, label, of)]
    figure = Figure(figsize=(2.9 * len(results.sources) + 0.4, 2.9 * len(kinds) + 0.2), layout="constrained")
    axes = figure.subplots(len(kinds), len(results.sources), squeeze=False)
    for row, of in zip(axes, kinds, strict=True):
        for panel, source in zip(row, results.sources, strict=True):
            _matrix(panel, judged.table(results, label, source, of))
            panel.set_title(style.plain(f"{judged.named(source)}, {of}"), fontsize=9)
        row[0].set_ylabel(style.plain(f"truth, {label}"))
    for panel in axes[-1]:
        panel.set_xlabel(style.plain(f"answer, {label}"))
    return figure


def _matrix(axes: Axes, counts: np.ndarray) -> None:
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(counts) > SHOWN:
        return
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            color = "white" if shares[i, j] > 0.55 else style.COLORS["truth"]
            text = f"{labels.number(100 * shares[i, j], 3)} %\n{int(count)}"
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize=8.5)
