"""What a trial came to, read from the history that its training wrote, so that a continued trial says the same."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Outcome", "Trial", "best_of", "scores_in", "told_by"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its best validation score if it has one, updates, seconds of training, why it did not finish.

    scores: epoch -> validation score
    """

    state: Literal["complete", "pruned", "failed"]
    score: float | None
    steps: int
    seconds: float
    reason: str
    scores: Mapping[int, float]


@dataclass(frozen=True)
class Trial:
    """A finished trial: number from 0, key -> value, outcome."""

    number: int
    values: Mapping[str, Any]
    outcome: Outcome


def best_of(trials: list[Trial]) -> Trial | None:
    """The complete trial of the lowest score, the first of equals; None if none is complete."""
    complete = [trial for trial in trials if trial.outcome.state == "complete"]
    return min(complete, key=lambda trial: (trial.outcome.score, trial.number), default=None)


def scores_in(folder: Path) -> dict[int, float]:
    """Epoch -> validation score, of the training in `folder` so far."""
    return {int(row["epoch"]): float(row["validation"]) for row in _history(folder) if row["validation"]}


def told_by(folder: Path, state: Literal["complete", "pruned", "failed"], reason: str = "") -> Outcome:
    """The outcome of the training in `folder`."""
    scores, last = scores_in(folder), next(reversed(_history(folder)), {"step": 0, "seconds": 0.0})
    score = None if state == "failed" else min(scores.values(), default=None)
    return Outcome(state, score, int(last["step"]), float(last["seconds"]), reason, scores)


def _history(folder: Path) -> list[dict[str, str]]:
    path = folder / "history.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
