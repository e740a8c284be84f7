"""Answers to the labels of held-out samples, and of their slices: what they are worth in each fold."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from ..metrics import judging
from . import labels
from .results import EMULATOR, ExperimentResults
from .scores import Score

__all__ = [
    "OF_CLASSES", "OF_PARAMETERS", "at_redshifts", "classes", "each_class", "has", "leading", "measure", "named",
    "parameters", "score", "table", "worth",
]  # fmt: skip

OF_CLASSES = ("accuracy", "precision", "recall", "f1", "auc", "brier", "ece")
OF_PARAMETERS = ("r2", "rmse", "chi2", "coverage_1", "coverage_2")
KEYS = ["fold", "sample"]


def classes(results: ExperimentResults, label: str, source: str) -> int | None:
    """How many classes a label has; None of a parameter."""
    asked = _rows(results, label, "score", source)["x"]
    return None if asked.empty else max(2, int(asked.max()) + 1)


def has(results: ExperimentResults, label: str, of: str) -> bool:
    """Whether answers "of" samples, or of slices, were judged."""
    if of == "samples":
        return label in results.labels
    return any(len(results.rows(label, name, EMULATOR)) for name in ("slice_answers", "slice_square"))


def named(source: str) -> str:
    """What answered."""
    return "network" if source == EMULATOR else labels.source(source)


def each_class(results: ExperimentResults, label: str, source: str, of: str) -> Iterator[tuple[int, pd.DataFrame]]:
    """Of each class with scores: rows (fold, sample, x: a logit, positive, count), `of` "samples" or "slices"."""
    truth = _truth(results, label, source)
    scores = _rows(results, label, "score", source)
    for c in sorted(scores["x"].unique()):
        rows = scores[scores["x"] == c]
        rows = rows.assign(x=rows["value"], value=1.0)
        rows = _rows(results, label, f"slices_{int(c)}", source) if of == "slices" else rows
        known = truth.reindex(pd.MultiIndex.from_frame(rows[KEYS])).to_numpy()
        yield int(c), rows[[*KEYS, "x"]].assign(positive=known == c, count=rows["value"])


def table(results: ExperimentResults, label: str, source: str, of: str, fold: int | None = None) -> np.ndarray:
    """(truth, answer) counts of classes in one fold, or in all."""
    truth = _truth(results, label, source)
    rows = _rows(results, label, "slice_answers" if of == "slices" else "answer", source)
    rows = rows if fold is None else rows[rows["fold"] == fold]
    known = truth.reindex(pd.MultiIndex.from_frame(rows[KEYS])).to_numpy()
    said, weights = (rows["x"], rows["value"]) if of == "slices" else (rows["value"], np.ones(len(rows)))
    return judging.confusion(said, known, classes(results, label, source) or 2, np.asarray(weights))


def parameters(results: ExperimentResults, label: str, source: str) -> pd.DataFrame:
    """One row a held-out sample (fold, sample): label, mean, variance."""
    columns = {name: _column(results, label, name, source) for name in ("label", "mean", "variance")}
    return pd.DataFrame(columns).dropna()


def worth(results: ExperimentResults, label: str, source: str, of: str) -> pd.DataFrame:
    """One row a fold, one column a measure (OF_CLASSES or OF_PARAMETERS), those that are defined."""
    if classes(results, label, source) is None:
        return _of_parameters(results, label, source, of)
    tables = [rows for _, rows in each_class(results, label, source, of)]
    folds = sorted(set(tables[0]["fold"])) if tables else []
    found = {fold: _of_classes([rows[rows["fold"] == fold] for rows in tables]) for fold in folds}
    said = {fold: judging.scores(table(results, label, source, of, fold)) for fold in folds}
    return pd.DataFrame({fold: said[fold] | found[fold] for fold in folds}).T


def measure(results: ExperimentResults, label: str) -> str:
    """The measure that stands for all."""
    return "r2" if classes(results, label, EMULATOR) is None else "accuracy"


def leading(results: ExperimentResults, label: str, source: str = EMULATOR) -> pd.Series:
    """What answers to samples are worth by it in each fold in which it is defined."""
    found = worth(results, label, source, "samples") if label in results.labels else {}
    name = measure(results, label)
    return found[name].dropna() if name in found else pd.Series(dtype=float)


def score(values: pd.Series) -> Score | None:
    """Mean and standard deviation over the folds in which a measure is defined."""
    known = values.dropna()
    if known.empty:
        return None
    return Score(float(known.mean()), float(known.std()), tuple(int(fold) for fold in known.index))


def at_redshifts(results: ExperimentResults) -> dict[float, ExperimentResults]:
    """Redshift -> the results of its samples alone."""
    found: dict[float, set[str]] = {}
    for sample in results.catalogue.samples:
        found.setdefault(float(sample.redshift), set()).add(sample.id)
    return {z: _of_samples(results, ids) for z, ids in sorted(found.items())}


def _of_samples(results: ExperimentResults, ids: set[str]) -> ExperimentResults:
    part, rows = replace(results), results.evaluation
    part.__dict__["evaluation"] = rows[rows["sample"].isin(ids)]  # instead of what would be read
    return part


def _of_classes(tables: list[pd.DataFrame]) -> dict[str, float]:
    """AUC, Brier score and calibration error, the means over the classes that have a score."""
    found: dict[str, list[float]] = {}
    for rows in tables:
        known = rows["x"], rows["positive"], rows["count"]
        curve = judging.roc(*known)
        one = {"brier": judging.brier(*known), "ece": judging.reliability(*known).error}
        for name, value in (one | ({"auc": curve.area} if curve else {})).items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _of_parameters(results: ExperimentResults, label: str, source: str, of: str) -> pd.DataFrame:
    if of == "slices":
        names = {"rmse": "slice_square", "chi2": "slice_chi2"}
        names |= {f"coverage_{n}": f"slice_within_{n}" for n in (1, 2)}
        means = {n: _column(results, label, metric, source).groupby(level="fold").mean() for n, metric in names.items()}
        truths = _truth(results, label, source).groupby(level="fold").var(ddof=0)
        means |= {"r2": 1 - means["rmse"] / truths.where(truths > 0), "rmse": np.sqrt(means["rmse"])}
        return pd.DataFrame(means)
    rows = parameters(results, label, source)
    each = {fold: judging.recovery(*part.to_numpy().T) for fold, part in rows.groupby(level="fold")}
    return pd.DataFrame(each).T


def _truth(results: ExperimentResults, label: str, source: str) -> pd.Series:
    return _column(results, label, "label", source)


def _column(results: ExperimentResults, label: str, metric: str, source: str) -> pd.Series:
    return _rows(results, label, metric, source).set_index(KEYS)["value"]


def _rows(results: ExperimentResults, label: str, metric: str, source: str) -> pd.DataFrame:
    return results.rows(label, metric, source)[[*KEYS, "x", "value"]].astype({"sample": str})
