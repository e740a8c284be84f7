"""Columns that several tables share: measures with the best one set off, and how many folds they are made of."""

from collections.abc import Sequence

from . import labels
from .blocks import Cell, Column
from .results import ExperimentResults
from .scores import Score

__all__ = ["measured", "of_metric", "progress"]


def of_metric(metric: str, field: str, unit: str, prefix: str = "") -> Column:
    """Head of a column: name, unit, and an arrow to the better side."""
    arrow = {"lower": " ↓", "higher": " ↑", "": ""}[labels.metric(metric).better]
    return Column(prefix + labels.metric(metric).label + arrow, labels.unit(metric, field, unit))


def measured(metric: str, found: Sequence[Score | None], complete: Sequence[bool], most: int = 5) -> list[Cell]:
    """Mean ± spread of each line with common decimals, `most` at most; of the complete lines the best is strong."""
    known = [score for score in found if score is not None]
    places = min(most, labels.places([score.mean for score in known], [score.spread for score in known]))
    best = _best(metric, [s.mean for s, whole in zip(found, complete, strict=True) if s is not None and whole])
    return [
        _cell(score, places, whole and score is not None and score.mean == best)
        for score, whole in zip(found, complete, strict=True)
    ]


def progress(results: ExperimentResults) -> str:
    """'3', or '2 of 3' folds."""
    done, expected = len(results.evaluated), len(results.folds)
    return str(expected) if done == expected else f"{done} of {expected}"


def _best(metric: str, means: Sequence[float]) -> float | None:
    better = labels.metric(metric).better
    if not better or len(means) < 2:
        return None
    return min(means) if better == "lower" else max(means)


def _cell(score: Score | None, places: int, strong: bool) -> Cell:
    if score is None:
        return Cell(labels.DASH, weak=True)
    return Cell(labels.measure(score.mean, score.spread, places), strong=strong)
