"""Searches for hyperparameters: what was tried, what was best, and how to train that."""

from pathlib import Path

import pandas as pd

from ...registry import register
from .. import labels
from ..blocks import Block, Cell, Code, Column, Group, Picture, Section, Table, Text
from ..context import Context, SearchFiles
from ..trials import Trials

__all__ = ["search"]


@register("section", "search")
def search(context: Context) -> Section:
    """The best trials of each search, all scores, and the config of the best."""
    found = context.searches.items()
    blocks = [_group(context, ablation, files) for ablation, files in found if files.trials.is_file()]
    return Section("Search", blocks)


def _group(context: Context, ablation: str, files: SearchFiles) -> Group:
    chosen = context.config["ablations"][ablation]
    trials = Trials(files.trials, chosen["draw"])
    blocks: list[Block] = [Text(_sentence(trials, chosen)), _table(trials)]
    if files.figure.is_file():
        text = f"Search {ablation}: validation score of each trial, in order and against each searched key."
        blocks.append(Picture(files.figure, text, text))
    blocks.append(Text(_caution(chosen["search"]["fold"]), "small"))
    if files.best.is_file():
        blocks.append(Group(f"Config of the best, {files.best}", [Code(_text(files.best))], folded=True))
    return Group(f"{ablation}, of {chosen['of']}", blocks)


def _sentence(trials: Trials, chosen: dict) -> str:
    counts = [f"{trials.count(state)} {state}" for state in ("pruned", "failed") if trials.count(state)]
    aside = f" ({', '.join(counts)})" if counts else ""
    if not len(trials.complete):
        return f"None of {len(trials.table)} trials{aside} was completed."
    best = trials.best
    values = ", ".join(f"{key} = {_value(trials, key, best)}" for key in trials.draw)
    found = f"{labels.number(best['score'])} with {values}"
    return f"Of {len(trials.table)} trials{aside}, trial {best['number']} has the best validation score: {found}."


def _caution(fold: int) -> str:
    return (
        f"Trials saw nothing but the training samples of fold {fold}, which other folds hold out in part: "
        f"of the best values, only fold {fold} is judged on samples that had no part in choosing them."
    )


def _table(trials: Trials, rows: int = 10) -> Table:
    """The best complete trials."""
    shown = trials.complete.head(rows)
    numeric = {key: trials.is_numeric(key) for key in trials.draw}
    head = [Column("trial"), *(Column(key, numeric=numeric[key]) for key in trials.draw)]
    head += [Column("validation ↓"), Column("steps"), Column("time", "s")]
    cells = [_row(trials, row, first=i == 0) for i, (_, row) in enumerate(shown.iterrows())]
    caption = f"The best {len(shown)} of {len(trials.complete)} complete trials." if len(shown) else ""
    return Table(head, cells, caption)


def _row(trials: Trials, row: pd.Series, first: bool) -> list[Cell | str]:
    values = [_value(trials, key, row) for key in trials.draw]
    score = Cell(labels.number(row["score"], 4), strong=first)
    return [str(row["number"]), *values, score, str(int(row["steps"])), labels.number(row["seconds"])]


def _value(trials: Trials, key: str, row: pd.Series) -> str:
    """Of a drawn number that is no integer, four digits."""
    is_long = trials.is_numeric(key) and len(row[key]) > 6
    return labels.number(float(row[key]), 4) if is_long else row[key]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
