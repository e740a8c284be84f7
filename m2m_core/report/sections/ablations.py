"""Experiments that vary one: what differs between them, what it does, and which is the best by validation score."""

from typing import Any

from ...registry import register
from .. import columns, judged, labels, scores
from ..blocks import Block, Cell, Column, Group, Picture, Section, Table, Text
from ..context import Context
from ..results import EMULATOR
from ..variants import Variants

__all__ = ["ablations"]

ABOUT = (
    "Mean ± standard deviation over the folds. Validation is what training makes small, on samples of the training "
    "folds: it chooses, the held-out samples only tell what the choice is worth."
)


@register("section", "ablations")
def ablations(context: Context) -> Section:
    """Experiments that share a base, beside the keys that differ."""
    bases = dict.fromkeys(context.base(results).name for results in context.experiments if context.base(results))
    return Section("Ablations", [_group(context, base) for base in bases])


def _group(context: Context, base: str) -> Group:
    members = [results for results in context.experiments if base in (results.name, results.base)]
    variants = Variants(sorted(members, key=lambda results: results.name != base))
    blocks: list[Block] = [Text(variants.verdict()), _table(variants)]
    for ablation in dict.fromkeys(results.ablation for results in members if results.ablation):
        blocks += _picture(context, ablation, variants.base.label)
    return Group(f"Variants of {variants.base.label}", blocks)


def _picture(context: Context, ablation: str, base: str) -> list[Block]:
    path = context.comparisons.get(ablation)
    measures = "best validation score and error on held-out samples, of each fold and their mean"
    text = f"Ablation {ablation} of {base}: {measures}."
    return [Picture(path, text, text)] if path is not None and path.is_file() else []


def _table(variants: Variants) -> Table:
    """One row an experiment: the keys that differ, folds, the error of each judged field, the validation score."""
    members = variants.members
    first = {field: next(r for r in members if field in r.fields) for results in members for field in results.fields}
    leading = {field: name for field, results in first.items() if (name := scores.leading(results, field))}
    head = [Column("", numeric=False), *(Column(key) for key in variants.keys), Column("folds")]
    head += [columns.of_metric(m, f, first[f].unit, f"{labels.field_name(f)} ") for f, m in leading.items()]
    cells = [_errors(variants, field, metric) for field, metric in leading.items()]
    told = {label: next(r for r in members if label in r.labels) for results in members for label in results.labels}
    measures = {label: judged.measure(results, label) for label, results in told.items()}
    head += [columns.of_metric(metric, label, "", f"{label} ") for label, metric in measures.items()]
    cells += [_answers(variants, label, metric) for label, metric in measures.items()]
    if any(variants.scores):
        head, cells = [*head, Column("validation ↓")], [*cells, _validation(variants)]
    rows = [
        [
            results.label,
            *(_value(variants.flats[i].get(key)) for key in variants.keys),
            columns.progress(results),
            *(column[i] for column in cells),
        ]
        for i, results in enumerate(members)
    ]
    marked = frozenset({variants.winner} if variants.winner is not None else ())
    return Table(head, rows, ABOUT, marked=marked)


def _errors(variants: Variants, field: str, metric: str) -> list[Cell]:
    found = [scores.score(results, field, metric, EMULATOR) for results in variants.members]
    return columns.measured(metric, found, [not results.missing for results in variants.members])


def _answers(variants: Variants, label: str, metric: str) -> list[Cell]:
    found = [judged.score(judged.leading(results, label)) for results in variants.members]
    return columns.measured(metric, found, [not results.missing for results in variants.members])


def _validation(variants: Variants) -> list[Cell]:
    """The winner is strong; what cannot be compared with the base is weak."""
    strong, alike = variants.winner, variants.comparable
    shown = [variants.shown(score) for score in variants.scores]
    return [Cell(text, strong=i == strong, weak=i not in alike) for i, text in enumerate(shown)]


def _value(value: Any) -> Cell:
    if isinstance(value, float):
        return Cell(labels.number(value))
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return Cell(", ".join(map(_choice, value)))
    return Cell(labels.DASH, weak=True) if value is None else Cell(str(value))


def _choice(item: dict[str, Any]) -> str:
    """`huber (delta 0.1, weight 2.0)`."""
    options = ", ".join(f"{key} {value}" for key, value in item.items() if key != "name")
    return f"{item['name']} ({options})" if options else item["name"]
