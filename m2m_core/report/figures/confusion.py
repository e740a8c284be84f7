"""What is taken for what."""

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
    pairs = [(source, of) for of in kinds for source in results.sources]
    figure = Figure(figsize=(2.6 * len(pairs) + 0.3, 2.9), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, (source, of) in zip(panels, pairs, strict=True):
        _matrix(panel, judged.table(results, label, source, of))
        panel.set_title(style.plain(f"{labels.source(source)}, {of}"), fontsize=9)
        panel.set_xlabel(style.plain(f"answer, {label}"))
    panels[0].set_ylabel(style.plain(f"truth, {label}"))
    return figure


def _matrix(axes: Axes, counts) -> None:  # noqa: ANN001
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
