"""What answers are worth beyond chance, and beyond the baselines, with its error."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from . import judged, labels
from .results import EMULATOR, ExperimentResults

__all__ = ["ENOUGH", "Margin", "over_baselines", "over_chance"]

ENOUGH = 3.0  # errors that a margin has to have


class Margin(NamedTuple):
    """How much more a measure is than something else, and the error of that; NaN where nothing tells it."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.error:.2f}".replace("-", labels.MINUS).removesuffix(" ± nan")

    @property
    def errors(self) -> float:
        """The margin in units of its error."""
        return self.value / self.error if self.error > 0 else math.nan

    @property
    def is_known(self) -> bool:
        """Whether it is more than the error explains, in either direction."""
        return abs(self.errors) >= ENOUGH


def over_chance(results: ExperimentResults, label: str, source: str) -> Margin | None:
    """Accuracy beyond that of the commonest class, or R^2, of answers to samples; None where nothing was judged."""
    values = judged.leading(results, label, source)
    if values.empty:
        return None
    if (chance := _chance(results, label)) is None:
        return Margin(float(values.mean()), _over_folds(values))
    return Margin(float(values.mean()) - chance, _error(results, label, values))


def over_baselines(results: ExperimentResults, label: str) -> Margin | None:
    """The same of the network, beyond the best baseline; None without one."""
    own, found = (
        judged.leading(results, label, EMULATOR),
        [judged.leading(results, label, name) for name in results.baselines],
    )
    known = [values for values in found if len(values)]
    if own.empty or not known:
        return None
    best = max(known, key=lambda values: values.mean())
    apart = (own - best).dropna()
    error = _over_folds(apart)
    if _chance(results, label) is not None:
        error = _larger(error, math.hypot(_binomial(results, own), _binomial(results, best)))
    return Margin(float(apart.mean()), error)


def _chance(results: ExperimentResults, label: str) -> float | None:
    """The part of the commonest class among the held-out samples; None of a parameter."""
    if judged.classes(results, label, EMULATOR) is None:
        return None
    return float(results.rows(label, "label", EMULATOR)["value"].value_counts(normalize=True).max())


def _error(results: ExperimentResults, label: str, accuracy: pd.Series) -> float:
    return _larger(_over_folds(accuracy), _binomial(results, accuracy))


def _over_folds(values: pd.Series) -> float:
    """The standard error of the mean over the folds."""
    return float(values.std() / math.sqrt(len(values)))


def _binomial(results: ExperimentResults, accuracy: pd.Series) -> float:
    """The standard deviation of an accuracy that so many groups give: samples of one group are not independent."""
    count = len({sample.group for fold in accuracy.index for sample in results.catalogue.held_out(fold)})
    share = (float(accuracy.mean()) * count + 1) / (count + 2)  # never none at all
    return math.sqrt(share * (1 - share) / count)


def _larger(error: float, least: float) -> float:
    return float(np.nanmax([error, least]))
