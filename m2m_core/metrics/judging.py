"""How good answers are: ROC, confusion, calibration of classes; R^2, chi^2, coverage of parameters. Arrays to numbers.

Scores are logits: a probability is 1 / (1 + exp(-score)), and 0 is the threshold. `weights` say how often each counts.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Curve", "Reliability", "brier", "confusion", "probability", "recovery", "reliability", "roc", "scores"]

BINS = 10


class Curve(NamedTuple):
    """The ROC curve: rates of true and false positives at falling thresholds, from (0, 0) to (1, 1), and its area."""

    false: np.ndarray
    true: np.ndarray
    area: float


class Reliability(NamedTuple):
    """In bins of equal width in probability that hold any: mean probability, share of positives, and how many."""

    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of both over all answers."""
        return float(np.sum(self.count * np.abs(self.predicted - self.observed)) / self.count.sum())


def probability(score: np.ndarray) -> np.ndarray:
    """Of a logit."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(score, float)))


def roc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> Curve | None:
    """The curve of scores (n,) of which `positive` (n,) are true; equal scores are one step. None without both."""
    score, positive, weights = _arrays(score, positive, weights)
    values, place = np.unique(-score, return_inverse=True)
    hits = np.bincount(place, weights * positive, len(values)).cumsum()
    misses = np.bincount(place, weights * ~positive, len(values)).cumsum()
    if not hits[-1] or not misses[-1]:
        return None
    true, false = np.append(0, hits / hits[-1]), np.append(0, misses / misses[-1])
    return Curve(false, true, float(np.trapezoid(true, false)))


def confusion(predicted: np.ndarray, truth: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(truth, predicted): how often each class (integers) was taken for each."""
    table = np.zeros((classes, classes))
    np.add.at(table, (np.asarray(truth, int), np.asarray(predicted, int)), 1.0 if weights is None else weights)
    return table


def scores(table: np.ndarray) -> dict[str, float]:
    """Accuracy, precision, recall and F1 from a confusion; the last three of class 1, of several classes their means.

    A precision without any answer, and a recall without any truth, are 0, as is F1 then; of several classes one without
    either does not count.
    """
    hits, answers, truths = np.diag(table), table.sum(0), table.sum(1)
    precision, recall = (np.divide(hits, n, out=np.zeros(len(table)), where=n > 0) for n in (answers, truths))
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(table)), where=both > 0)
    there = answers + truths > 0
    means = (values[1] if len(table) == 2 else values[there].mean() for values in (precision, recall, f1))
    total = {"accuracy": hits.sum() / table.sum()}
    return {k: float(v) for k, v in (total | dict(zip(("precision", "recall", "f1"), means, strict=True))).items()}


def reliability(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> Reliability:
    """How often what was called probable is true."""
    score, positive, weights = _arrays(score, positive, weights)
    chance = probability(score)
    place = np.minimum((chance * bins).astype(int), bins - 1)
    count, said, true = (np.bincount(place, w, bins) for w in (weights, weights * chance, weights * positive))
    filled = count > 0
    return Reliability(said[filled] / count[filled], true[filled] / count[filled], count[filled])


def brier(score: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean squared distance of probability and truth (Brier 1950)."""
    score, positive, weights = _arrays(score, positive, weights)
    return float(np.average(np.square(probability(score) - positive), weights=weights))


def recovery(truth: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> dict[str, float]:
    """R^2, RMSE, chi^2 an answer, and the parts of truths within one and two standard deviations (68 and 95 %)."""
    error, spread = mean - truth, np.sqrt(variance)
    total = np.square(truth - truth.mean()).sum()
    known = {"r2": 1 - np.square(error).sum() / total} if total > 0 else {}
    pull = np.abs(error) / spread
    found = {"rmse": np.sqrt(np.square(error).mean()), "chi2": np.square(pull).mean()}
    cover = {"coverage_1": np.mean(pull <= 1), "coverage_2": np.mean(pull <= 2)}
    return {name: float(value) for name, value in (known | found | cover).items()}


def _arrays(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score = np.asarray(score, float)
    return score, np.asarray(positive, bool), np.ones(score.shape) if weights is None else np.asarray(weights, float)
