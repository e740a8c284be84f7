"""What is told of labels, beside what the power spectrum alone tells."""

from collections.abc import Sequence

import pandas as pd

from ...registry import register
from .. import chance, columns, judged, labels
from ..blocks import Block, Cell, Column, Group, Section, Table, Text
from ..context import Context
from ..results import EMULATOR, ExperimentResults

__all__ = ["answers"]

PICTURES = ["roc", "reliability", "confusion", "recovery", "saliency"]
PLACES = 3  # decimals of what is of order 1
BEYOND = (
    "Held-out samples of all folds. Chance is the part of the commonest class, and R² 0. The error is that of the mean "
    "over the folds, of an accuracy at least what so many independent groups (seeds) leave; 3 errors are asked for."
)


@register("section", "labels")
def answers(context: Context) -> Section:
    """Scores of answers to held-out samples and slices beside their baselines, at each redshift; figures."""
    asked = [results for results in context.experiments if results.labels]
    if not asked:
        return Section("Labels")
    own = [results for results in asked if context.base(results) is None]
    leads = [Text(_headline(r, label, len(own) > 1), "lead") for r in own for label in r.labels]
    tables = {results.name: _tables(results) for results in asked}
    blocks = [*leads, _beyond(asked), *context.each(tables), *context.pictures(PICTURES), _legend(asked)]
    return Section("Labels", blocks)


def _headline(results: ExperimentResults, label: str, named: bool) -> str:
    """What the network and its baselines are worth on held-out samples, in one sentence."""
    owner = f"{results.label}: the" if named else "The"
    if judged.classes(results, label, EMULATOR) is None:
        known = {source: _shown(results, label, source, "r2") for source in results.sources}
        start = f"{owner} network tells {label} of held-out samples with R² = {known.pop(EMULATOR)}"
    else:
        known = {source: _shown(results, label, source, "accuracy") for source in results.sources}
        area, margin = _shown(results, label, EMULATOR, "auc"), _margin(chance.over_chance(results, label, EMULATOR))
        said = f"accuracy {known.pop(EMULATOR)} (AUC {area}), {margin}"
        start = f"{owner} network tells {label} of held-out samples with {said}"
    others = [f"{value} of the {judged.named(source)}" for source, value in known.items()]
    return f"{start}, against {labels.joined(others)}." if others else f"{start}."


def _margin(found: chance.Margin | None) -> str:
    """'0.46 ± 0.04 above chance', or that nothing is."""
    if found is None or not found.error > 0:
        return "how far from chance unknown"
    if not found.is_known:
        return f"not told from chance ({found} above it)"
    return f"{found._replace(value=abs(found.value))} {'above' if found.value > 0 else 'below'} chance"


def _beyond(asked: Sequence[ExperimentResults]) -> Table:
    """What every network and baseline is worth beyond chance, and the networks beyond their best baseline."""
    rows = [
        [results.label if source == EMULATOR else "", label, judged.named(source), *_far(results, label, source)]
        for results in asked
        for label in results.labels
        for source in results.sources
    ]
    heads = [Column(name, numeric=False) for name in ("", "label", "told by")]
    heads += [Column("accuracy, R²"), Column("above chance"), Column("in errors"), Column("", numeric=False)]
    return Table([*heads, Column("above the best baseline")], rows, BEYOND)


def _far(results: ExperimentResults, label: str, source: str) -> list[Cell | str]:
    margin, worth = chance.over_chance(results, label, source), judged.score(judged.leading(results, label, source))
    over = chance.over_baselines(results, label) if source == EMULATOR else None
    if margin is None or worth is None:
        return [Cell(labels.DASH, weak=True)] * 5
    word = "not told from chance" if not margin.is_known else "above chance" if margin.value > 0 else "below chance"
    shown = labels.measure(worth.mean, worth.spread, 3), str(margin), labels.number(margin.errors, 2)
    return [*shown, Cell(word, strong=margin.is_known), str(over) if over else ""]


def _shown(results: ExperimentResults, label: str, source: str, metric: str) -> str:
    values = judged.worth(results, label, source, "samples")
    found = judged.score(values[metric]) if metric in values else None
    return labels.DASH if found is None else labels.measure(found.mean, found.spread, 3)


def _tables(results: ExperimentResults) -> list[Block]:
    blocks: list[Block] = []
    for label in results.labels:
        for of in ("samples", "slices"):
            if judged.has(results, label, of):
                blocks.append(_table(results, label, of, _title(results, label, of)))
    at = judged.at_redshifts(results)
    if len(at) > 1:
        tables = [
            _table(part, label, "samples", f"{label}, z = {z:g}") for label in results.labels for z, part in at.items()
        ]
        blocks.append(Group("Redshift by redshift", tables, folded=True))
    return blocks


def _title(results: ExperimentResults, label: str, of: str) -> str:
    count = results.rows(label, "label", EMULATOR)["sample"].nunique()
    aggregate = " (the mean over their slices)" if judged.has(results, label, "slices") else ""
    return (
        f"{label}: {count} held-out samples{aggregate}." if of == "samples" else f"{label}: their slices, one by one."
    )


def _table(results: ExperimentResults, label: str, of: str, caption: str) -> Table:
    """One row a source, one column a measure: mean and standard deviation over the folds."""
    found = {source: judged.worth(results, label, source, of) for source in results.sources}
    found = {source: table for source, table in found.items() if len(table)}
    known = judged.OF_PARAMETERS if judged.classes(results, label, EMULATOR) is None else judged.OF_CLASSES
    measures = [name for name in known if any(name in table for table in found.values())]
    cells = [_measured(name, list(found.values()), results) for name in measures]
    rows = [
        [Cell(judged.named(source), weak=source != EMULATOR), str(len(table)), *(column[i] for column in cells)]
        for i, (source, table) in enumerate(found.items())
    ]
    heads = [Column("", numeric=False), Column("folds"), *(columns.of_metric(name, label, "") for name in measures)]
    return Table(heads, rows, caption, foot=1)


def _measured(name: str, tables: Sequence[pd.DataFrame], results: ExperimentResults) -> list[Cell]:
    found = [judged.score(table[name]) if name in table else None for table in tables]
    return columns.measured(name, found, [not results.missing] * len(found), PLACES if name != "rmse" else 5)


def _legend(asked: Sequence[ExperimentResults]) -> Text:
    kinds = [judged.classes(r, label, EMULATOR) is None for r in asked for label in r.labels]
    names = [*(judged.OF_CLASSES if False in kinds else ()), *(judged.OF_PARAMETERS if True in kinds else ())]
    words = [f"{labels.metric(name).label}: {labels.metric(name).text}" for name in names if labels.metric(name).text]
    start = (
        "Mean ± standard deviation over the folds. A sample is judged by the mean logit (mean, variance) of its slices"
    )
    return Text("; ".join([start, *words]) + ".", "small")
