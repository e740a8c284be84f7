"""What several predictions of each held-out sample say together."""

from ...registry import register
from .. import columns, labels, scores
from ..blocks import Block, Cell, Column, Section, Table, Text
from ..context import Context
from ..results import EMULATOR, ExperimentResults

__all__ = ["draws"]


@register("section", "draws")
def draws(context: Context) -> Section:
    """Spread and error of several draws of each sample; nothing where there is one."""
    drawn = [results for results in context.experiments if _fields(results)]
    if not drawn:
        return Section("Draws")
    tables: list[Block] = [_table(drawn, field) for field in dict.fromkeys(f for r in drawn for f in _fields(r))]
    return Section("Draws", [_legend(), *tables, *context.pictures(["draws", "ranks"])])


def _fields(results: ExperimentResults) -> list[str]:
    return [field for field in results.fields if scores.score(results, field, "crps", EMULATOR) is not None]


def _table(drawn: list[ExperimentResults], field: str) -> Table:
    """A row an experiment, a column a number."""
    lines = [results for results in drawn if field in _fields(results)]
    complete = [not results.missing for results in lines]
    found = {m: [scores.score(results, field, m, EMULATOR) for results in lines] for m in scores.OF_DRAWS}
    cells = [columns.measured(metric, row, complete) for metric, row in found.items()]
    head = [Column(labels.capital(labels.field_name(field)), numeric=False), Column("folds"), Column("draws")]
    head += [columns.of_metric(metric, field, lines[0].unit) for metric in found]
    rows = [
        [Cell(results.label), columns.progress(results), str(_count(results, field)), *(cell[i] for cell in cells)]
        for i, results in enumerate(lines)
    ]
    return Table(head, rows)


def _count(results: ExperimentResults, field: str) -> int:
    """How many draws there are: the truth has one rank more."""
    return int(results.rows(field, "rank", EMULATOR)["x"].max())


def _legend() -> Text:
    texts = [f"{labels.metric(name).label}: {labels.metric(name).text}" for name in scores.OF_DRAWS]
    about = (
        "Several predictions of each held-out sample, under noise of their own; mean ± standard deviation over folds"
    )
    return Text("; ".join([about, *texts]) + ".", "small")
