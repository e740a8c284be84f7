"""Parameters as they were told against what they are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import judging
from ...registry import register
from .. import judged, labels, style
from ..results import EMULATOR, ExperimentResults

__all__ = ["recovery"]

MOST = 6  # parameters
COLUMNS = 3


@register("label_figure", "recovery")
def recovery(results: ExperimentResults) -> Figure:
    """Parameters of held-out samples, told with one standard deviation, against the truth; all folds together."""
    names = results.labels[:MOST]
    if not names:
        return style.blank("No answer was judged.")
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure, axes = style.canvas(columns, [3.2] * rows, width=4.0 * columns)
    for panel, name in zip(axes.flat, names, strict=False):
        panel.sharex(panel)
        for source in (*results.baselines, EMULATOR):
            _points(panel, results, name, source)
        low, high = panel.get_xlim()
        panel.plot([low, high], [low, high], color=style.COLORS["truth"], lw=0.9, zorder=5, label="truth")
        panel.set(xlim=(low, high), xlabel=style.plain(f"true {name}"), ylabel=style.plain(f"told {name}"))
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    style.legend(figure, axes.flat)
    return figure


def _points(axes: Axes, results: ExperimentResults, name: str, source: str) -> None:
    table = judged.parameters(results, name, source)
    if table.empty:
        return
    truth, mean, variance = table.to_numpy().T
    color = style.line(source, results.baselines)["color"]
    own = source == EMULATOR
    label = style.plain(judged.named(source))
    axes.errorbar(
        truth, mean, np.sqrt(variance), fmt="o" if own else "s", ms=3.5 if own else 2.5, color=color, lw=0.8,
        alpha=0.9 if own else 0.5, label=label, zorder=4 if own else 2,
    )  # fmt: skip
    found = judging.recovery(truth, mean, variance)
    words = [
        f"{labels.metric(key).label} {labels.number(found[key], 3)}" for key in ("r2", "rmse", "chi2") if key in found
    ]
    place = 0.97 - 0.06 * results.sources.index(source)
    axes.text(0.03, place, ", ".join(words), transform=axes.transAxes, color=color, va="top", fontsize=8)
