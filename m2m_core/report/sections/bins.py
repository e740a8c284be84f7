"""Is the emulator better than every baseline at every scale? The k-bins in which it is not, by name."""

import math

import numpy as np

from ...registry import register
from .. import labels, scores
from ..blocks import Block, Cell, Column, Group, Section, Table, Text
from ..context import Context
from ..results import EMULATOR, ExperimentResults
from ..scores import Bins

__all__ = ["bins", "verdict"]

QUESTIONS = {"transfer": "|T − 1|", "cross_correlation": "|r − 1|"}
Judged = dict[tuple[str, str], Bins]  # by field and metric
DEFINITION = (
    "T is the square root of P(prediction) / P(truth), r the cross-correlation with the truth; both are 1 for a "
    "perfect emulator. Each number is the distance from 1 averaged over the held-out samples. A bin is won if the "
    "emulator’s is smaller than that of every baseline."
)


@register("section", "bins")
def bins(context: Context) -> Section:
    """Transfer function and cross-correlation bin by bin, the emulator against every baseline."""
    judged = {results.name: _judged(results) for results in context.experiments}
    if not any(judged.values()):
        return Section("Scale by scale")
    overview = [_overview(context, judged)] if sum(map(bool, judged.values())) > 1 else []
    details = context.each(
        {results.name: _experiment(results, judged[results.name]) for results in context.experiments}
    )
    return Section("Scale by scale", [Text(DEFINITION), *overview, *details])


def verdict(results: ExperimentResults, field: str, parts: dict[str, Bins]) -> list[str]:
    """In how many k-bins |T - 1| and |r - 1| are smaller than the baselines', and exactly those where they are not."""
    start = f"{labels.capital(labels.field_name(field))}: "
    count = len(next(iter(parts.values())).k)
    end = f"k-bins up to the Nyquist frequency, {labels.quantity(results.nyquist, 'h/Mpc')}"
    if all(len(part.errors) < 2 for part in parts.values()):
        return [f"{start}no baseline was judged, so there is nothing to compare in the {count} {end}."]
    if not any(part.lost.any() for part in parts.values()) and len({len(part.k) for part in parts.values()}) == 1:
        names = labels.joined(
            [f"the emulator’s {QUESTIONS[name]}" if i == 0 else QUESTIONS[name] for i, name in enumerate(parts)]
        )
        verb = "are" if len(parts) > 1 else "is"
        return [f"{start}{names} {verb} smaller than every baseline’s in all {count} {end}."]
    return [start + _counted(QUESTIONS[name], part, end) for name, part in parts.items()]


def _counted(question: str, part: Bins, end: str) -> str:
    won = f"the emulator’s {question} is smaller than every baseline’s in"
    if not part.lost.any():
        return f"{won} all {len(part.k)} {end}."
    listed = ", ".join(labels.number(k) for k in part.k[part.lost])
    return f"{won} {_won(part)} of {len(part.k)} {end}; not at k = {listed}{labels.GAP}h/Mpc."


def _judged(results: ExperimentResults) -> Judged:
    found = {(field, name): scores.bins(results, field, name) for field in results.fields for name in QUESTIONS}
    return {key: part for key, part in found.items() if part is not None}


def _overview(context: Context, judged: dict[str, Judged]) -> Table:
    """One row an experiment: bins won of bins judged."""
    keys = list(dict.fromkeys(key for parts in judged.values() for key in parts))
    columns = [Column("bins won", numeric=False)]
    columns += [Column(f"{labels.field_name(field)} {QUESTIONS[name]}") for field, name in keys]
    rows = [
        [results.label, *(_share(judged[results.name].get(key)) for key in keys)] for results in context.experiments
    ]
    return Table(columns, rows)


def _share(part: Bins | None) -> Cell:
    if part is None or len(part.errors) < 2:
        return Cell(labels.DASH, weak=True)
    return Cell(f"{_won(part)} of {len(part.k)}", strong=not part.lost.any())


def _won(part: Bins) -> int:
    return len(part.k) - int(part.lost.sum())


def _experiment(results: ExperimentResults, judged: Judged) -> list[Block]:
    blocks: list[Block] = []
    tables: list[Block] = []
    for field in dict.fromkeys(field for field, _ in judged):
        parts = {name: part for (other, name), part in judged.items() if other == field}
        blocks += [Text(sentence) for sentence in verdict(results, field, parts)]
        tables.append(Group(f"{labels.capital(labels.field_name(field))}, bin by bin", [_table(parts)], folded=True))
    return blocks + tables


def _table(parts: dict[str, Bins]) -> Table:
    """One row a bin: k, then for T and r the emulator and every baseline."""
    k = sorted({float(x) for part in parts.values() for x in part.k})
    pairs = [(name, source) for name, part in parts.items() for source in part.errors]
    head = [Column("k", "h/Mpc"), *(Column(f"{QUESTIONS[name]} {labels.source(source)}") for name, source in pairs)]
    places = labels.decimals(k, 2)
    columns = [[labels.fixed(x, places) for x in k], *(_column(parts[name], source, k) for name, source in pairs)]
    lost = {float(x) for part in parts.values() for x in part.k[part.lost]}
    caption = "Marked: bins in which the emulator is not better than every baseline." if lost else ""
    marked = frozenset(i for i, x in enumerate(k) if x in lost)
    return Table(head, list(zip(*columns, strict=True)), caption, marked=marked)


def _column(part: Bins, source: str, k: list[float]) -> list[Cell]:
    """The errors of a source at each k, the smallest of all sources strong."""
    own = dict(zip(part.k.tolist(), part.errors[source].tolist(), strict=True))
    least = dict(zip(part.k.tolist(), np.fmin.reduce(list(part.errors.values())).tolist(), strict=True))
    places = labels.decimals(list(own.values()), 2)
    several = len(part.errors) > 1
    return [
        Cell(
            labels.fixed(own.get(x, math.nan), places),
            strong=several and own.get(x) == least.get(x),
            weak=source != EMULATOR,
        )
        for x in k
    ]
