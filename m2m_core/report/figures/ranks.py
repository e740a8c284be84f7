"""Several predictions of each sample: where the truth stands among them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import EMULATOR, ExperimentResults

__all__ = ["ranks"]


@register("figure", "ranks")
def ranks(results: ExperimentResults) -> Figure:
    """How often so many draws are below the truth of a voxel, over how often they should be; 1 is perfect.

    A hollow is a spread that is too small, a hump one that is too large, a slope a bias.
    """
    return style.by_field(results, "rank", "One prediction was made of each sample.", {_histogram: 2.2})


def _histogram(axes: Axes, results: ExperimentResults, field: str) -> None:
    curve = results.curve(field, "rank", EMULATOR)
    assert curve is not None, "a field that was measured"
    several = np.isfinite(curve.spread).all()
    look = {"color": style.COLORS[EMULATOR], "alpha": 0.55, "label": EMULATOR}
    axes.bar(curve.x, curve.mean, width=0.9, yerr=curve.spread if several else None, ecolor=style.FAINT, **look)
    axes.axhline(1, color=style.COLORS["truth"], lw=0.8)
    axes.set_xticks(curve.x if len(curve.x) <= 12 else curve.x[:: -(-len(curve.x) // 12)])
    axes.set_ylim(0, None)
    style.title(axes, results, field)
    axes.set_xlabel("draws below the truth")
    axes.set_ylabel("relative frequency")
