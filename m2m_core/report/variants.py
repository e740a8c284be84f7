"""A base and its variants: which of their validation scores mean the same, and which is the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import labels, scores
from .results import ExperimentResults
from .scores import Score

__all__ = ["Variants", "differing", "flat"]

MEASURE = ("dataset", "task", "loss", "normalize.target")  # keys on which the meaning of a validation score depends


@dataclass(frozen=True)
class Variants:
    """Experiments in the order of the config, the base first.

    The score of one is what its loss makes small, measured on validation samples of its training folds: only between
    experiments with the same loss of the same normalised target it can be compared.
    """

    members: Sequence[ExperimentResults]

    @property
    def base(self) -> ExperimentResults:
        return self.members[0]

    @cached_property
    def flats(self) -> list[dict[str, Any]]:
        """The flat config of each member."""
        return [flat(results.config) for results in self.members]

    @cached_property
    def keys(self) -> list[str]:
        """The keys that do not have the same value in all members."""
        return differing(self.flats)

    @cached_property
    def scores(self) -> list[Score | None]:
        """The validation score of each member."""
        return [scores.validation(results) for results in self.members]

    @cached_property
    def measures(self) -> list[str]:
        """The differing keys that change what a score means."""
        return [key for key in self.keys if any(f"{key}.".startswith(f"{name}.") for name in MEASURE)]

    @cached_property
    def comparable(self) -> list[int]:
        """The members whose score, if they have one, means what that of the base means."""
        first = [self.flats[0].get(key) for key in self.measures]
        return [i for i, config in enumerate(self.flats) if [config.get(key) for key in self.measures] == first]

    @cached_property
    def ranked(self) -> list[int]:
        """The comparable members with a score of every fold, the best first; none if there is nothing to rank."""
        whole = [i for i in self.comparable if (s := self.scores[i]) and len(s.folds) == len(self.members[i].folds)]
        return sorted(whole, key=lambda i: self.scores[i].mean) if len(whole) > 1 else []  # type: ignore[union-attr]

    @cached_property
    def _places(self) -> int:
        known = [score for score in self.scores if score is not None]
        return labels.places([score.mean for score in known], [score.spread for score in known])

    @property
    def winner(self) -> int | None:
        return self.ranked[0] if self.ranked else None

    def verdict(self) -> str:
        """Who is the best by validation score, or why that cannot be said."""
        if not self.ranked:
            return self._undecided()
        best, found = self.members[self.ranked[0]], [self.scores[i] for i in self.ranked]
        others = self.ranked[1:] if self.ranked[0] == 0 else [i for i in self.ranked if i == 0] or self.ranked[1:]
        second, rival = self.scores[others[0]], self.members[others[0]]
        start = f"{best.label} has the best validation score of {len(found)}: {self.shown(found[0])}"
        return f"{start}, against {self.shown(second)} of {rival.label}.{self._close(found)}{self._unranked()}"

    def shown(self, score: Score | None) -> str:
        """A validation score with its spread over the folds, with as many decimals as the others."""
        if score is None:
            return labels.DASH
        return labels.measure(score.mean, score.spread, self._places)

    def _close(self, found: Sequence[Score | None]) -> str:
        first, second = found[0], found[1]
        apart = second.mean - first.mean  # type: ignore[union-attr]
        spread = max(first.spread, second.spread)  # type: ignore[union-attr]
        return (
            f" The next is nearer to it ({labels.number(apart, 2)}) than the folds are to each other."
            if apart < spread
            else ""
        )

    def _unranked(self) -> str:
        """Who has no rank, and why."""
        other = [m.label for i, m in enumerate(self.members) if i not in self.comparable]
        lacking = [self.members[i].label for i in self.comparable if i not in self.ranked]
        why = f" Not comparable, because {_differ(self.measures)}: {_some(other)}." if other else ""
        return why + (f" Without a score of every fold: {_some(lacking)}." if lacking else "")

    def _undecided(self) -> str:
        if len(self.comparable) < 2:
            why = f"because {_differ(self.measures)}"
            return f"Validation scores are not comparable, {why}: no winner is named."
        if not any(self.scores):
            return "Nothing was validated (training.validation), so no winner is named."
        return f"Fewer than two validation scores can be compared, so no winner is named.{self._unranked()}"


def _differ(keys: Sequence[str]) -> str:
    return f"{labels.joined(list(keys))} differ{'s' if len(keys) == 1 else ''}"


def _some(names: Sequence[str], most: int = 5) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return labels.joined([*names[:most], *more])


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
