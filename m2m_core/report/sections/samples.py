"""The error of every held-out sample, the emulator's beside the baselines'."""

import pandas as pd

from ...data.catalogue import natural
from ...options import Count
from ...registry import register
from .. import labels, scores
from ..blocks import Block, Cell, Column, Group, Section, Table, Text
from ..context import Context
from ..results import EMULATOR, ExperimentResults

__all__ = ["samples"]


@register("section", "samples")
def samples(context: Context, *, rows: Count = 200) -> Section:
    """Errors sample by sample.

    Options:
        rows: of a table; of more samples the worst are shown
    """
    tables = {results.name: _experiment(results, rows) for results in context.experiments}
    return Section("Held-out samples", context.each(tables))


def _experiment(results: ExperimentResults, limit: int) -> list[Block]:
    blocks: list[Block] = []
    for field in results.fields:
        metric = scores.leading(results, field)
        table = _errors(results, field, metric) if metric else pd.DataFrame()
        if metric and EMULATOR in table:
            extremes = _extremes(table, labels.unit(metric, field, results.unit))
            title = f"{labels.capital(labels.field_name(field))}, {labels.metric(metric).label}: {extremes}"
            blocks.append(Group(title, _shown(results, field, metric, table, limit), folded=True))
    return blocks


def _errors(results: ExperimentResults, field: str, metric: str) -> pd.DataFrame:
    """One row a (fold, sample), one column a source."""
    columns = {source: scores.errors(results, field, metric, source) for source in results.sources}
    table = pd.DataFrame({source: column for source, column in columns.items() if not column.empty})
    if EMULATOR not in table:
        return table
    order = sorted(table.index, key=lambda index: natural(index[1]))
    return table.loc[order].dropna(subset=[EMULATOR])


def _extremes(table: pd.DataFrame, unit: str) -> str:
    own = table[EMULATOR]
    word = f"{len(own)} sample{'s' if len(own) > 1 else ''}"
    return f"{word}, {labels.number(own.min())} to {labels.quantity(own.max(), unit)}" if len(own) > 1 else word


def _shown(results: ExperimentResults, field: str, metric: str, table: pd.DataFrame, limit: int) -> list[Block]:
    higher = labels.metric(metric).better == "higher"
    worst = table[EMULATOR].sort_values(ascending=higher, kind="stable").index[:limit]
    kept = table.loc[table.index.isin(worst)]
    head = [Column("sample", numeric=False), Column("fold")]
    unit = labels.unit(metric, field, results.unit)
    columns = head + [Column(labels.source(source), unit) for source in kept]
    places = {source: labels.decimals(list(kept[source])) for source in kept}
    rows = [_row(index, values, places, higher) for index, values in kept.iterrows()]
    text = [Text(f"The {len(kept)} worst of {len(table)} samples.", "small")] if len(kept) < len(table) else []
    return [*text, Table(columns, rows)]


def _row(index: tuple, values: pd.Series, places: dict[str, int], higher: bool) -> list[Cell | str]:
    best = (values.max if higher else values.min)()
    strong = [value == best and len(values) > 1 for value in values]
    cells = [
        Cell(labels.fixed(value, places[source]), strong=s)
        for (source, value), s in zip(values.items(), strong, strict=True)
    ]
    return [Cell(str(index[1])), str(index[0]), *cells]
