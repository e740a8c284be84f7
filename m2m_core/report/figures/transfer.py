"""The transfer function: is the amplitude right at every scale?"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import ExperimentResults

__all__ = ["transfer"]


@register("figure", "transfer")
def transfer(results: ExperimentResults) -> Figure:
    """Transfer function T(k) = √(P / P(truth)); 1 is perfect. Mean and standard deviation over the held-out samples."""
    return style.by_field(results, "transfer", "No transfer function was measured.", {_transfer: 2.7})


def _transfer(axes: Axes, results: ExperimentResults, field: str) -> None:
    style.about_one(axes, results, field, "transfer", low=0.0, high=2.0)
    axes.set_ylabel(r"$T(k)$")
