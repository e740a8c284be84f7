"""Power spectra and what they miss."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...registry import register
from .. import style
from ..results import Curve, ExperimentResults

__all__ = ["power"]


@register("figure", "power")
def power(results: ExperimentResults) -> Figure:
    """Power spectra, and their ratio to the truth’s: mean and standard deviation over the held-out samples."""
    return style.by_field(results, "power", "No power spectrum was measured.", {_spectra: 2.7, _ratios: 1.25})


def _spectra(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.set_yscale("log")
    style.draw_curve(axes, results.truth(field, "power"), "truth", results, band=False)
    for source in results.sources:
        style.draw_curve(axes, results.curve(field, "power", source), source, results, band=False)
    style.title(axes, results, field)
    style.wavenumbers(axes, results)
    axes.set_xlabel("")
    axes.set_ylabel(rf"$P_{{{style.symbol(field)}}}(k)$  {_unit(results, field)}")


def _ratios(axes: Axes, results: ExperimentResults, field: str) -> None:
    axes.axhline(1, color=style.COLORS["truth"], lw=0.8)
    for source in results.sources:
        style.draw_curve(axes, _ratio(results, field, source), source, results)
    style.wavenumbers(axes, results)
    style.focus(axes, low=0.0, high=2.0)
    axes.set_ylabel(r"$P/P_\mathrm{truth}$")


def _ratio(results: ExperimentResults, field: str, source: str) -> Curve | None:
    """P over the P of the truth of the same sample, as T squared is where it is written, averaged over the samples."""
    rows, truth = (results.rows(field, name, source) for name in ("power", "power_truth"))
    both = rows.merge(truth, on=["fold", "sample", "x"], suffixes=("", "_truth"))
    return results.joined(both.assign(value=both["value"] / both["value_truth"]))


def _unit(results: ExperimentResults, field: str) -> str:
    power = results.dims + (2 if field == "displacement" else 0)
    return rf"[$(\mathrm{{Mpc}}/h)^{{{power}}}$]"
