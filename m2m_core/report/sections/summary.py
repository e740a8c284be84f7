"""The first thing to read: what was achieved, in one sentence and one table a judged field."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...registry import register
from .. import columns, labels, scores
from ..blocks import Block, Cell, Column, Group, Section, Table, Text
from ..context import Context, missing, warning
from ..results import EMULATOR, ExperimentResults
from ..scores import Score

__all__ = ["headline", "summary"]


class Line(NamedTuple):
    """A row of a table: one score a metric, and whether they are of all folds."""

    name: str
    folds: str
    found: tuple[Score | None, ...]
    complete: bool


@register("section", "summary")
def summary(context: Context) -> Section:
    """Headline and scores of all experiments beside their baselines."""
    own = [results for results in context.experiments if context.base(results) is None]
    blocks: list[Block] = [Text(sentence, "lead") for results in own for sentence in headline(results, len(own) > 1)]
    blocks += [block for results in context.experiments for block in warning(results)]
    for dataset in dict.fromkeys(results.dataset for results in context.experiments):
        group = [results for results in context.experiments if results.dataset == dataset and results.evaluated]
        fields = dict.fromkeys(field for results in group for field in results.fields)
        blocks += [Group(_title(context, field, dataset), [_table(group, field)]) for field in fields]
    return Section("Summary", [*blocks, *_legend(context)])


def headline(results: ExperimentResults, named: bool) -> list[str]:
    """One sentence: the error in the first judged field against the baselines'; none if nothing was judged."""
    for field in results.fields[:1]:
        metric = scores.leading(results, field)
        found = scores.score(results, field, metric, EMULATOR) if metric else None
        if found is not None:
            return [_sentence(results, field, str(metric), found, named)]
    return []


def _sentence(results: ExperimentResults, field: str, metric: str, found: Score, named: bool) -> str:
    what = "error" if metric in ("rmse", "vrmse", "mse") else labels.metric(metric).label
    owner = f"{results.label}: the" if named else "The"
    value = labels.quantity(found.mean, labels.unit(metric, field, results.unit))
    start = f"{owner} emulator’s {labels.field_name(field)} {what} is {value}"
    pairs = [(name, scores.score(results, field, metric, name)) for name in results.baselines]
    others = [f"{labels.number(s.mean)} ({labels.source(name)})" for name, s in pairs if s is not None]
    if not others:
        return f"{start}; no baseline was judged.{_unjudged(results)}"
    won, count = scores.wins(results, field, metric)
    beaten = {1: "it", 2: "both"}.get(len(others), "all of them")
    return (
        f"{start}, against {labels.joined(others)}; it beats {beaten} on {won} of {count} held-out samples."
        f"{_unjudged(results)}"
    )


def _unjudged(results: ExperimentResults) -> str:
    if not results.missing:
        return ""
    count = sum(len(results.catalogue.held_out(k)) for k in results.missing)
    return (
        f" {labels.capital(missing(results))}: {count} held-out sample{'s were' if count != 1 else ' was'} not judged."
    )


def _title(context: Context, field: str, dataset: str) -> str:
    several = len({results.dataset for results in context.experiments}) > 1
    return labels.capital(labels.field_name(field)) + (f", {dataset}" if several else "")


def _legend(context: Context) -> list[Block]:
    """What the columns mean, once for all tables."""
    names = dict.fromkeys(name for r in context.experiments for field in r.fields for name in scores.metrics(r, field))
    texts: dict[str, list[str]] = {}
    for name in names:
        if labels.metric(name).text:
            texts.setdefault(labels.metric(name).text, []).append(labels.metric(name).label)
    words = [f"{labels.joined(found)}: {text}" for text, found in texts.items()]
    about = (
        "Mean ± standard deviation over the folds; the best value of a column is bold, arrows point to the better side"
    )
    return [Text("; ".join([about, *words]) + ".", "small")] if names else []


def _table(group: Sequence[ExperimentResults], field: str) -> Table:
    group = [results for results in group if field in results.fields]
    metrics = list(dict.fromkeys(name for results in group for name in scores.metrics(results, field)))
    own = [_line(results, field, metrics, EMULATOR, results.label) for results in group]
    lines = own + list(_baselines(group, field, metrics))
    complete = [line.complete for line in lines]
    cells = [columns.measured(name, [line.found[i] for line in lines], complete) for i, name in enumerate(metrics)]
    names = [Cell(line.name, weak=i >= len(own)) for i, line in enumerate(lines)]
    rows = [[names[i], line.folds, *(column[i] for column in cells)] for i, line in enumerate(lines)]
    head = [Column("", numeric=False), Column("folds")]
    return Table([*head, *(columns.of_metric(name, field, group[0].unit) for name in metrics)], rows, foot=len(own))


def _line(results: ExperimentResults, field: str, metrics: Iterable[str], source: str, name: str) -> Line:
    found = tuple(scores.score(results, field, metric, source) for metric in metrics)
    return Line(name, columns.progress(results), found, not results.missing)


def _baselines(group: Sequence[ExperimentResults], field: str, metrics: Sequence[str]) -> list[Line]:
    """One line a baseline, of all folds if any experiment has them; baselines that differ each have their own."""
    lines: dict[tuple[Any, ...], Line] = {}
    for results in sorted(group, key=lambda results: bool(results.missing)):
        for source in results.baselines:
            known = any(other == source for other, *_ in lines)
            name = f"{labels.source(source)} ({results.label})" if known else labels.source(source)
            line = _line(results, field, metrics, source, name)
            if any(line.found) and not (known and results.missing):
                lines.setdefault((source, *(score and f"{score.mean:.9g}" for score in line.found)), line)
    return list(lines.values())
