"""Several predictions of each sample: how their amplitudes scatter, and whether they are as far apart as wrong."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import EMULATOR, Curve, ExperimentResults

__all__ = ["draws"]


@register("figure", "draws")
def draws(results: ExperimentResults) -> Figure:
    """T(k) of the draws with their standard deviation within a sample, and spread over skill; 1 is perfect."""
    return style.by_field(
        results, "transfer_draws", "One prediction was made of each sample.", {_amplitudes: 2.2, _calibration: 1.8}
    )


def _amplitudes(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.axhline(1, color=style.COLORS["truth"], lw=0.8)
    style.draw_curve(axes, _with_band(results, field), EMULATOR, results)
    style.title(axes, results, field)
    style.wavenumbers(axes, results)
    _focus(axes)
    axes.set_xlabel("")
    axes.set_ylabel(r"$T(k)$ of the draws")


def _with_band(results: ExperimentResults, field: str) -> Curve | None:
    """The mean over samples and draws, with the mean standard deviation among the draws of a sample."""
    mean, spread = (results.curve(field, f"transfer_draws{end}", EMULATOR) for end in ("", "_spread"))
    if mean is None or spread is None:
        return None
    return Curve(mean.x, mean.mean, spread.mean, count=max(mean.count, 2))


def _calibration(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.axhline(1, color=style.COLORS["truth"], lw=0.8)
    style.draw_curve(axes, results.curve(field, "spread_skill_spectrum", EMULATOR), EMULATOR, results)
    style.wavenumbers(axes, results)
    _focus(axes)
    axes.set_ylabel("spread / skill")


def _focus(axes: Axes) -> None:
    """On what is drawn, and on what is perfect."""
    style.focus(axes, low=0.0, high=2.0)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.98), max(high, 1.02))
