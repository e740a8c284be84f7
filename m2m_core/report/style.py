"""How all figures look: one strong colour for the emulator, greys for what it is compared with, bytes that repeat."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from . import labels
from .results import EMULATOR, Curve, ExperimentResults

__all__ = [
    "COLORS",
    "FAINT",
    "FOLDS",
    "about_one",
    "applied",
    "blank",
    "by_field",
    "canvas",
    "decades",
    "draw_curve",
    "few_ticks",
    "focus",
    "legend",
    "measured",
    "plain",
    "symbol",
    "title",
    "tried",
    "unit",
    "variable",
    "wavenumbers",
]

COLORS = {"truth": "#16191d", EMULATOR: "#d55e00", "input": "#a3a8ad"}
GREYS = ["#3f6f96", "#6b7075", "#8a6d9b", "#5f8a70"]
DASHES: list[Any] = [(0, (5, 1.6)), (0, (2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
FOLDS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#8a6d00"]  # Okabe and Ito, darkened yellow
SYMBOLS = {"displacement": r"\psi", "density": r"\delta"}
INK, FAINT = "#16191d", "#6b7075"
COLUMN = 4.55  # width of one panel [inch]

STYLE = {
    "axes.edgecolor": "#8b9096", "axes.labelcolor": INK, "axes.labelsize": 9.5, "axes.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=FOLDS), "axes.spines.right": False, "axes.spines.top": False,
    "axes.titlelocation": "left", "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlepad": 8,
    "axes.unicode_minus": True, "figure.facecolor": "white", "font.family": ["DejaVu Sans"], "font.size": 9,
    "image.interpolation": "none", "legend.fontsize": 9, "legend.frameon": False, "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round", "mathtext.fontset": "dejavusans", "path.simplify": True,
    "savefig.facecolor": "white", "svg.fonttype": "path", "svg.hashsalt": "m2m", "text.color": INK,
    "text.usetex": False, "xtick.color": "#8b9096", "xtick.labelcolor": INK, "xtick.labelsize": 8.5,
    "ytick.color": "#8b9096", "ytick.labelcolor": INK, "ytick.labelsize": 8.5,
}  # fmt: skip


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Draw inside this block in the style of the report, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def canvas(columns: int, heights: list[float], width: float | None = None) -> tuple[Figure, np.ndarray]:
    """A figure of `columns` panels side by side with rows of `heights` [inch], and its axes (rows, columns)."""
    width = width or (COLUMN * columns if columns > 1 else 1.35 * COLUMN)
    figure = Figure(figsize=(width, sum(heights) + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, hspace=0.02, wspace=0.05)
    axes = figure.subplots(len(heights), columns, squeeze=False, sharex="col", height_ratios=heights)
    return figure, axes


def blank(text: str) -> Figure:
    """A figure that says why there is nothing to show."""
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, plain(text), ha="center", va="center", color=FAINT)
    return figure


def plain(text: object) -> str:
    """`text` from outside, so that matplotlib prints it: no mathtext, no control characters, at most 60 letters."""
    printable = labels.printable(str(text))
    short = printable if len(printable) <= 60 else printable[:59] + "…"
    return short.replace("$", r"\$")


def line(source: str, baselines: Iterable[str]) -> dict[str, Any]:
    """Colour, dashes and weight of the line of a source."""
    if source == "truth":  # thin and on top: both it and an emulator under it are seen
        return {"color": COLORS["truth"], "lw": 0.9, "zorder": 5}
    if source == EMULATOR:
        return {"color": COLORS[EMULATOR], "lw": 2.4, "zorder": 4}
    if source == "input":
        return {"color": COLORS["input"], "ls": (0, (1.2, 1.4)), "lw": 1.6, "zorder": 2}
    place = [name for name in baselines if name != "input"].index(source) % len(GREYS)
    return {"color": GREYS[place], "ls": DASHES[place], "zorder": 3}


def draw_curve(axes: Axes, curve: Curve | None, source: str, results: ExperimentResults, *, band: bool = True) -> None:
    """The mean of a curve as a line and one standard deviation over the samples as a band."""
    if curve is None:
        return
    look = line(source, results.baselines)
    axes.plot(curve.x, curve.mean, label=plain(labels.source(source)), **look)
    if band and curve.count > 1:
        low, high = curve.mean - curve.spread, curve.mean + curve.spread
        if axes.get_yscale() == "log":
            low = np.maximum(low, curve.mean / 30)
        axes.fill_between(curve.x, low, high, color=look["color"], alpha=0.16, lw=0, zorder=1)


def measured(results: ExperimentResults, metric: str, most: int = 3) -> list[str]:
    """The judged fields that have this curve, at most so many as fit beside each other."""
    return [name for name in results.fields if results.curve(name, metric, EMULATOR) is not None][:most]


def by_field(
    results: ExperimentResults,
    metric: str,
    absent: str,
    panels: Mapping[Callable[[Axes, ExperimentResults, str], None], float],
) -> Figure:
    """A column a judged field that has the curve `metric`, a row a panel, which is drawn on (axes, results, field).

    panels: what draws each row -> its height [inch]; absent: what the figure says where there is no such curve
    """
    if not (fields := measured(results, metric)):
        return blank(absent)
    figure, axes = canvas(len(fields), list(panels.values()))
    for draw, row in zip(panels, axes, strict=True):
        for panel, field in zip(row, fields, strict=True):
            draw(panel, results, field)
    legend(figure, axes.flat)
    return figure


def about_one(axes: Axes, results: ExperimentResults, field: str, metric: str, *, low: float, high: float) -> None:
    """A panel of a curve over k that is 1 where a prediction is perfect, of all sources, between `low` and `high`."""
    axes.axhline(1, color=COLORS["truth"], lw=0.8)
    for source in results.sources:
        draw_curve(axes, results.curve(field, metric, source), source, results)
    title(axes, results, field)
    wavenumbers(axes, results)
    focus(axes, low=low, high=high)


def wavenumbers(axes: Axes, results: ExperimentResults) -> None:
    """Logarithmic wave numbers with their unit, and the Nyquist frequency."""
    axes.set_xscale("log")
    axes.margins(x=0.02)
    axes.set_xlabel(r"$k$  [$h$/Mpc]")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(results.nyquist, color="#9aa0a6", lw=0.9, ls=(0, (4, 3)), zorder=0, label="Nyquist frequency")


def focus(axes: Axes, *, low: float, high: float) -> None:
    """Limits of y around the means of all lines, never beyond `low` and `high` by more than a little."""
    values = np.concatenate(
        [np.asarray(line.get_ydata(), float) for line in axes.lines if len(line.get_xdata()) > 2] or [[1.0]]
    )
    values = np.clip(values[np.isfinite(values)], low, high)
    room = 0.08 * max(np.ptp(values), 0.02)
    axes.set_ylim(values.min() - room, values.max() + room)


def title(axes: Axes, results: ExperimentResults, field: str) -> None:
    """The name of the field, and over how many held-out samples the mean goes."""
    count = results.evaluation.loc[results.evaluation["field"] == field, "sample"].nunique()
    axes.set_title(plain(labels.capital(labels.field_name(field))))
    axes.set_title(
        f"{count} held-out sample{'s' if count != 1 else ''}", loc="right", fontsize=8, color=FAINT, weight="normal"
    )


def symbol(field: str) -> str:
    """Symbol of a field inside mathtext."""
    return SYMBOLS.get(field, "")


def variable(results: ExperimentResults, field: str) -> str:
    """Axis label for the values of a field."""
    if field == "density":
        return r"$\log_{10}(1+\delta)$"
    unit_ = unit(results.unit)
    return f"{plain(labels.field_name(field))}{unit_ and f'  [{unit_}]'}"


def decades(axes: Axes, which: Literal["x", "y"], values: np.ndarray, ratio: float = 10.0) -> bool:
    """Make an axis logarithmic, with few and plain ticks, where these values span `ratio`; whether it did."""
    if not len(values) or values.min() <= 0 or values.max() < ratio * values.min():
        return False
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if values.max() < 300 * values.min() else (1.0,)))
    axis.set_minor_formatter(NullFormatter())
    if values.min() > 1e-4 and values.max() < 1e5:
        axis.set_major_formatter("{x:g}")
    return True


def tried(axes: Axes, x: np.ndarray) -> None:
    """An axis of values that somebody chose: ticks at these if they are few and short, else where it is round."""
    is_log, chosen = decades(axes, "x", x), np.unique(x)
    texts = [f"{value:g}" for value in chosen]
    if len(texts) <= 6 and max(map(len, texts)) <= 6:
        axes.set_xticks(chosen, texts)
        axes.xaxis.set_minor_locator(NullLocator())
    elif not is_log:
        axes.xaxis.set_major_locator(few_ticks(5))
    axes.margins(x=0.08)


def unit(text: str) -> str:
    """A unit as a label: Mpc/h with its h in italics."""
    return plain(text).replace("Mpc/h", r"Mpc/$h$")


def few_ticks(most: int = 4) -> MaxNLocator:
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all panels, in a row above them."""
    handles: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = 8 if figure.get_figwidth() > 8 else 5
    handles |= {"Nyquist frequency": last} if (last := handles.pop("Nyquist frequency", None)) else {}
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=min(columns, len(handles)))
