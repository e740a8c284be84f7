"""The figure of an ablation: validation score and held-out errors of the base and its variants, fold by fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import judged, labels, scores, style
from ..results import EMULATOR, ExperimentResults
from ..variants import Variants, differing

__all__ = ["comparison", "swept"]

MOST = 30  # variants that can be told apart
ERRORS = 2  # judged fields that fit beside the validation score
BASE, BEST = "#16191d", style.FOLDS[1]


@dataclass(frozen=True)
class Panel:
    """One measure: its name, and of each member its value in each fold, nothing where it has none."""

    label: str
    values: Sequence[np.ndarray]


def comparison(members: Sequence[ExperimentResults]) -> Figure:
    """Best validation score and error on held-out samples of each fold, their mean and standard deviation.

    members: the base, then its variants in the order of the config. Against the value of the key where it is one
    number that varies, else name by name; of many variants those of the best scores.
    """
    variants = Variants(members)
    panels = _panels(variants)
    if not panels or len(members) < 2:
        return style.blank("Nothing was measured yet.")
    key = swept(variants)
    figure = _along(variants, panels, key) if key else _by_name(variants, panels)
    style.legend(figure, figure.axes)
    return figure


def swept(variants: Variants) -> str | None:
    """The key that alone differs between the variants, if all its values are different numbers."""
    keys = differing(variants.flats[1:])
    values = [config.get(key) for config in variants.flats[1:] for key in keys]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return keys[0] if len(keys) == 1 and len(set(numbers)) == len(values) > 1 else None


def _panels(variants: Variants) -> list[Panel]:
    """The validation score where it can be compared, and the leading error of the first judged fields."""
    found = [
        _scores(results) if i in variants.comparable else np.array([]) for i, results in enumerate(variants.members)
    ]
    panels = [Panel("best validation score", found)] if sum(bool(len(values)) for values in found) > 1 else []
    fields = dict.fromkeys(field for results in variants.members for field in results.fields)
    for field in list(fields)[:ERRORS]:
        first = next(results for results in variants.members if field in results.fields)
        if metric := scores.leading(first, field):
            values = [_errors(results, field, metric) for results in variants.members]
            panels.append(Panel(_label(first, field, metric), values))
    for label in list(dict.fromkeys(label for results in variants.members for label in results.labels))[:ERRORS]:
        name = judged.measure(next(results for results in variants.members if label in results.labels), label)
        found = [judged.leading(results, label).to_numpy() for results in variants.members]
        panels.append(Panel(style.plain(f"{label}, {labels.metric(name).label}"), found))
    return panels


def _scores(results: ExperimentResults) -> np.ndarray:
    found = (record.get("best_score") for record in results.trainings.values())
    return np.array([score for score in found if score is not None], float)


def _errors(results: ExperimentResults, field: str, metric: str) -> np.ndarray:
    errors: pd.Series = scores.errors(results, field, metric, EMULATOR)
    return errors.groupby(level="fold").mean().to_numpy()


def _label(results: ExperimentResults, field: str, metric: str) -> str:
    unit = style.unit(labels.unit(metric, field, results.unit))
    return f"{style.plain(labels.field_name(field))} {style.plain(labels.metric(metric).label)}{unit and f'  [{unit}]'}"


# ---- against the value of a key


def _along(variants: Variants, panels: Sequence[Panel], key: str) -> Figure:
    figure, axes = style.canvas(len(panels), [2.9], width=3.5 * len(panels))
    alone = differing(variants.flats) == [key]  # then the base is a point as well
    shown = range(0 if alone else 1, len(variants.members))
    order = sorted(shown, key=lambda i: variants.flats[i][key])
    x = np.array([variants.flats[i][key] for i in order], float)
    for axis, panel in zip(axes[0], panels, strict=True):
        _line(axis, x, [panel.values[i] for i in order])
        _points(axis, x, order, panel, variants, vertical=True)
        if not alone and len(panel.values[0]):
            axis.axhline(panel.values[0].mean(), color=BASE, lw=1.0, ls=(0, (4, 3)), label="base")
        axis.set_xlabel(style.plain(key))
        _fit(axis, "y", panel)
        style.tried(axis, x)
    return figure


def _line(axis: Axes, x: np.ndarray, values: Sequence[np.ndarray]) -> None:
    known = [i for i, found in enumerate(values) if len(found)]
    axis.plot(x[known], [values[i].mean() for i in known], color=style.COLORS[EMULATOR], lw=1.2, zorder=2)


# ---- name by name


def _by_name(variants: Variants, panels: Sequence[Panel]) -> Figure:
    rows = _most(variants)
    names = [style.plain(_name(variants, i)) for i in rows]
    room = 0.075 * max(map(len, names))
    figure = Figure(figsize=(min(room, 3.2) + 2.9 * len(panels), 0.9 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _points(axis, np.arange(len(rows)), rows, panel, variants, vertical=False)
        if len(panel.values[0]):
            axis.axvline(panel.values[0].mean(), color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=0)
        axis.grid(axis="y", color="#eceef0", lw=0.8, zorder=0)
        axis.set_axisbelow(True)
        _fit(axis, "x", panel)
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    if len(rows) < len(variants.members):
        axes[0].set_title(f"{len(rows)} of {len(variants.members)}, by validation score", fontsize=8, weight="normal")
    return figure


def _name(variants: Variants, i: int) -> str:
    """The name of a member, without that of its base."""
    return variants.members[i].label.removeprefix(f"{variants.base.label}, ")


def _most(variants: Variants) -> list[int]:
    """The members that are shown, in the order of the config: the base, and of too many those of the best scores."""
    order = [*variants.ranked, *(i for i in range(len(variants.members)) if i not in variants.ranked)]
    return sorted([0, *[i for i in order if i][: MOST - 1]])


# ---- both


def _points(
    axis: Axes, places: np.ndarray, order: Sequence[int], panel: Panel, variants: Variants, *, vertical: bool
) -> None:
    """The folds faint, their mean and standard deviation strong; the base and the best told apart."""
    for place, i in zip(places, order, strict=True):
        values = panel.values[i]
        if not len(values):
            continue
        at = np.full(len(values), place)
        folds = (at, values) if vertical else (values, at)
        axis.plot(*folds, ls="", marker="o", ms=3, color=style.FAINT, alpha=0.55, lw=0, zorder=3, label="a fold")
        mean = (place, values.mean()) if vertical else (values.mean(), place)
        spread = {"yerr" if vertical else "xerr": values.std(ddof=1)} if len(values) > 1 else {}
        axis.errorbar(*mean, **spread, **_look(i, variants))


def _look(i: int, variants: Variants) -> dict[str, Any]:
    common = {"ls": "", "marker": "o", "ms": 6.5, "elinewidth": 1.3, "capsize": 2.5, "zorder": 4}
    if i == variants.winner:
        return {**common, "color": BEST, "label": "best validation score", "marker": "D"}
    if i == 0:
        return {**common, "color": BASE, "mfc": "white", "mew": 1.5, "label": "base"}
    return {**common, "color": style.COLORS[EMULATOR], "label": "mean ± standard deviation"}


def _fit(axis: Axes, which: str, panel: Panel) -> None:
    """The label of the measure, and a logarithmic axis where its values span a decade."""
    getattr(axis, f"set_{which}label")(panel.label)
    if not style.decades(axis, which, np.concatenate(panel.values)):
        getattr(axis, f"{which}axis").set_major_locator(style.few_ticks(5))
