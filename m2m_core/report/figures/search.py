"""The figure of a search: scores as they came, with the best so far, and against the value of each searched key."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import style
from ..results import EMULATOR
from ..trials import Trials

__all__ = ["search"]

COLUMNS, MOST = 3, 12  # panels side by side, and in all
LOOKS = {
    "complete": {"marker": "o", "ms": 4.5, "color": style.COLORS[EMULATOR]},
    "pruned": {"marker": "o", "ms": 4.5, "mfc": "none", "color": style.FAINT},
}


def search(trials: Trials) -> Figure:
    """Validation score of each trial in its order and against every searched key; failed trials have none."""
    if not trials.table["score"].notna().any():
        return style.blank("No trial has a score.")
    keys = list(trials.draw)[:MOST]
    rows = math.ceil(len(keys) / COLUMNS)
    figure = Figure(figsize=(9.6, 2.5 + 2.3 * rows), layout="constrained")
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[1.1, *[1.0] * rows])
    first = figure.add_subplot(grid[0, :])
    _history(first, trials)
    panels = [figure.add_subplot(grid[1 + i // COLUMNS, i % COLUMNS]) for i in range(len(keys))]
    for i, (panel, key) in enumerate(zip(panels, keys, strict=True)):
        _against(panel, trials, key)
        panel.set_ylabel("validation score" if i % COLUMNS == 0 else "")
    for panel in (first, *panels):
        style.decades(panel, "y", trials.table["score"].dropna().to_numpy(), ratio=3.0)
    style.legend(figure, [first])
    return figure


def _history(axis: Axes, trials: Trials) -> None:
    table = trials.table
    _points(axis, trials, table["number"].to_numpy(float))
    complete = table[table["state"] == "complete"]
    if len(complete):
        ends = [*complete["number"], table["number"].max()]
        best = [*np.minimum.accumulate(complete["score"]), complete["score"].min()]
        axis.step(ends, best, where="post", color=style.COLORS["truth"], lw=1.2, zorder=2, label="best so far")
    for number in table.loc[table["state"] == "failed", "number"]:
        axis.plot(number, 0.03, marker="x", ms=5, color=style.FOLDS[3], ls="", transform=axis.get_xaxis_transform(),
                  label="failed")  # fmt: skip
    axis.set_xlabel("trial")
    axis.set_ylabel("validation score")
    axis.xaxis.set_major_locator(style.few_ticks(8))
    axis.margins(x=0.02)


def _against(axis: Axes, trials: Trials, key: str) -> None:
    axis.set_xlabel(style.plain(key))
    if trials.is_numeric(key):
        _points(axis, trials, trials.numbers(key))
        return style.tried(axis, trials.numbers(key))
    names = list(dict.fromkeys(trials.table[key]))
    _points(axis, trials, trials.table[key].map(names.index).to_numpy(float))
    axis.set_xticks(range(len(names)), [_short(name) for name in names], rotation=20 if len(names) > 3 else 0)
    axis.margins(x=0.15)


def _short(value: str) -> str:
    """A listed value without the punctuation of JSON."""
    return style.plain("".join(letter for letter in value if letter not in '{}[]"').removeprefix("name: "))[:18]


def _points(axis: Axes, trials: Trials, x: np.ndarray) -> None:
    table = trials.table
    for state, look in LOOKS.items():
        chosen = (table["state"] == state).to_numpy() & table["score"].notna().to_numpy()
        if chosen.any():
            axis.plot(x[chosen], table["score"][chosen], ls="", alpha=0.8, zorder=3, label=state, **look)
    if len(trials.complete):
        best = int(np.flatnonzero(table["number"] == trials.best["number"])[0])
        axis.plot(x[best], table["score"][best], marker="D", ms=7, color=style.FOLDS[1], ls="", zorder=4, label="best")
