"""The transfer function: is the amplitude right at every scale?"""

from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import ExperimentResults

__all__ = ["transfer"]


@register("figure", "transfer")
def transfer(results: ExperimentResults) -> Figure:
    """Transfer function T(k) = √(P / P(truth)); 1 is perfect. Mean and standard deviation over the held-out samples."""
    fields = style.measured(results, "transfer")
    if not fields:
        return style.blank("No transfer function was measured.")
    figure, axes = style.canvas(len(fields), [2.7])
    for panel, field in zip(axes.flat, fields, strict=True):
        panel.axhline(1, color=style.COLORS["truth"], lw=0.8)
        for source in results.sources:
            style.draw_curve(panel, results.curve(field, "transfer", source), source, results)
        style.title(panel, results, field)
        style.wavenumbers(panel, results)
        style.focus(panel, low=0.0, high=2.0)
        panel.set_ylabel(r"$T(k)$")
    style.legend(figure, axes.flat)
    return figure
