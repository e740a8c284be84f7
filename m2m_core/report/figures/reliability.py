"""Whether a probability of 0.8 is right eight times out of ten."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import judging
from ...registry import register
from .. import judged, labels, style
from ..results import ExperimentResults

__all__ = ["reliability"]

BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}  # of text that lies on error bars


@register("label_figure", "reliability")
def reliability(results: ExperimentResults) -> Figure:
    """Frequency of the truth against the probability told, and how often that was: all folds; ECE: mean over folds."""
    label = next(iter(results.labels), None)
    if label is None:
        return style.blank("No answer was judged.")
    kinds = [of for of in ("samples", "slices") if judged.has(results, label, of)]
    figure, axes = style.canvas(len(kinds), [3.0, 0.8], width=4.2 * len(kinds))
    for (above, below), of in zip(axes.T, kinds, strict=True):
        above.plot([0, 1], [0, 1], color="#9aa0a6", lw=0.9, ls=(0, (4, 3)), zorder=0, label="calibrated")
        for source in results.sources:
            _drawn(above, below, results, label, source, of)
        above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        above.set_title(style.plain(f"{label}: {of}"))
        below.set(xlabel="probability told", ylim=(0, 1))
    axes[0, 0].set_ylabel("frequency of the truth")
    axes[1, 0].set_ylabel("share")
    style.legend(figure, axes.flat)
    return figure


def _drawn(above: Axes, below: Axes, results: ExperimentResults, label: str, source: str, of: str) -> None:
    rows = pd.concat([rows for _, rows in judged.each_class(results, label, source, of)])
    found = judging.reliability(rows["x"], rows["positive"], rows["count"])
    look = style.line(source, results.baselines)
    error = _errors(found, rows)
    name = style.plain(judged.named(source))
    known = judged.score(judged.worth(results, label, source, of)["ece"])
    text, place = f"ECE {labels.measure(known.mean, known.spread, 3)}", 0.05 + 0.07 * results.sources.index(source)
    above.text(0.97, place, text, color=look["color"], ha="right", fontsize=8.5, bbox=BEHIND, zorder=4)
    above.errorbar(found.predicted, found.observed, error, marker="o", ms=3.5, elinewidth=0.8, label=name, **look)
    below.stairs(*_shares(found), color=look["color"], lw=1.2)


def _shares(found: judging.Reliability) -> tuple[np.ndarray, np.ndarray]:
    """How often each bin was told, those of none included, and the edges of the bins."""
    return np.histogram(found.predicted, judging.BINS, (0.0, 1.0), weights=found.count / found.count.sum())


def _errors(found: judging.Reliability, rows: pd.DataFrame) -> np.ndarray:
    """Binomial standard deviations of the frequencies, by samples: slices of one sample are not independent."""
    each = rows["count"].sum() / rows.groupby(["fold", "sample"]).ngroups
    samples = np.maximum(found.count / each, 1)
    share = (found.observed * samples + 1) / (samples + 2)
    return np.sqrt(share * (1 - share) / samples)
