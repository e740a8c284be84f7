"""Experiments that vary one: what differs between them, and what it does."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...registry import register
from .. import columns, labels, scores
from ..blocks import Block, Cell, Column, Group, Section, Table
from ..context import Context
from ..results import EMULATOR, ExperimentResults

__all__ = ["ablations", "differing", "flat"]


@register("section", "ablations")
def ablations(context: Context) -> Section:
    """Experiments that share a base, beside the keys that differ."""
    bases = dict.fromkeys(context.base(results).name for results in context.experiments if context.base(results))
    blocks: list[Block] = []
    for base in bases:
        family = [results for results in context.experiments if base in (results.name, results.base)]
        blocks.append(Group(f"Variants of {next(r.label for r in family if r.name == base)}", [_table(family)]))
    return Section("Ablations", blocks)


def _table(family: Sequence[ExperimentResults]) -> Table:
    """One row an experiment: the keys that differ, folds, and the error of each judged field."""
    flats = [flat(results.config) for results in family]
    keys = differing(flats)
    judged = {field: next(r for r in family if field in r.fields) for results in family for field in results.fields}
    leading = {field: name for field, results in judged.items() if (name := scores.leading(results, field))}
    head = [Column("", numeric=False), *(Column(key) for key in keys), Column("folds")]
    head += [columns.of_metric(m, f, judged[f].unit, f"{labels.field_name(f)} ") for f, m in leading.items()]
    errors = [_errors(family, field, metric) for field, metric in leading.items()]
    rows = [
        [
            results.label,
            *(_value(flats[i].get(key)) for key in keys),
            columns.progress(results),
            *(c[i] for c in errors),
        ]
        for i, results in enumerate(family)
    ]
    return Table(head, rows, "Mean ± standard deviation over the folds.")


def _errors(family: Sequence[ExperimentResults], field: str, metric: str) -> list[Cell]:
    found = [scores.score(results, field, metric, EMULATOR) for results in family]
    return columns.measured(metric, found, [not results.missing for results in family])


def differing(flats: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that do not have the same value in all flat configs."""
    keys = dict.fromkeys(key for config in flats for key in config)
    return [key for key in keys if any(config.get(key) != flats[0].get(key) for config in flats)]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 4}} -> {"model.width": 4}; lists are values."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        result |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return result


def _value(value: Any) -> Cell:
    if isinstance(value, float):
        return Cell(labels.number(value))
    return Cell(labels.DASH, weak=True) if value is None else Cell(str(value))
