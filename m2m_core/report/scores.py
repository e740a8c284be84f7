"""Single numbers out of evaluations: one a held-out sample, their mean and spread over folds, bins won and lost."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import labels
from .results import EMULATOR, ExperimentResults, common

__all__ = [
    "OF_DRAWS",
    "SPECTRAL",
    "Bins",
    "Score",
    "bins",
    "errors",
    "leading",
    "metrics",
    "score",
    "validation",
    "wins",
]

LEADING = ("rmse", "vrmse", "mse")
SPECTRAL = {"transfer_error": "transfer", "correlation_error": "cross_correlation"}
HIDDEN = {"mse", "empty"}  # says what the RMSE says; describes a field instead of judging it
OF_DRAWS = ("crps", "spread", "mean_rmse", "spread_skill")  # of several predictions of a sample
SLACK = 1 + 1e-6  # the last shell may end at the Nyquist frequency itself


@dataclass(frozen=True)
class Score:
    """Mean of the folds' means and their standard deviation (NaN for one fold); `folds` are those it is made of."""

    mean: float
    spread: float
    folds: tuple[int, ...]


@dataclass(frozen=True)
class Bins:
    """Distance of T or r from 1 in each k-bin up to the Nyquist frequency, averaged over the held-out samples.

    `errors` maps a source to an array of the shape of `k` [h/Mpc]; `lost` marks the bins in which the
    emulator's is not smaller than every baseline's.
    """

    k: np.ndarray
    errors: dict[str, np.ndarray]
    lost: np.ndarray


def errors(results: ExperimentResults, field: str, metric: str, source: str) -> pd.Series:
    """The metric of each held-out sample, indexed by (fold, sample).

    `transfer_error` and `correlation_error` are |T - 1| and |r - 1| averaged over k up to the Nyquist frequency.
    """
    rows = results.rows(field, SPECTRAL.get(metric, metric), source)
    rows = _distances(results, rows) if metric in SPECTRAL else rows[rows["x"].isna()]
    return rows.groupby(["fold", "sample"], observed=True)["value"].mean()


def score(results: ExperimentResults, field: str, metric: str, source: str) -> Score | None:
    """The metric over the evaluated folds; None if it was not measured."""
    values = errors(results, field, metric, source)
    if values.empty:
        return None
    means = values.groupby(level="fold").mean()
    return Score(float(means.mean()), float(means.std()), tuple(int(k) for k in means.index))


def validation(results: ExperimentResults) -> Score | None:
    """The best validation score of each trained fold; None if none was measured."""
    found = {k: record["best_score"] for k, record in results.trainings.items() if record.get("best_score") is not None}
    values = pd.Series(found, dtype=float)
    return Score(float(values.mean()), float(values.std()), tuple(found)) if found else None


def metrics(results: ExperimentResults, field: str) -> list[str]:
    """The single numbers worth a column: errors first, then T and r, then what else was measured."""
    scalars = results.scalars(field)
    scalars = [name for name in scalars if not name.endswith("_truth") and name not in OF_DRAWS]
    hidden = HIDDEN if "rmse" in scalars else set()
    first = [name for name in LEADING if name in scalars and name not in hidden]
    spectral = [name for name, rows in SPECTRAL.items() if not results.rows(field, rows, EMULATOR).empty]
    return first + spectral + sorted(set(scalars) - set(LEADING) - hidden)


def leading(results: ExperimentResults, field: str) -> str | None:
    """The metric that stands for the error of a field: RMSE if measured."""
    known = metrics(results, field)
    lower = [name for name in known if labels.metric(name).better == "lower"]
    first = [name for name in LEADING if name in results.scalars(field)]
    return next(iter(first + lower + known), None)


def wins(results: ExperimentResults, field: str, metric: str) -> tuple[int, int]:
    """On how many held-out samples the emulator is strictly better than every baseline, and of how many."""
    own = errors(results, field, metric, EMULATOR)
    sign = -1 if labels.metric(metric).better == "higher" else 1
    others = [sign * errors(results, field, metric, name).reindex(own.index) for name in results.baselines]
    best = pd.concat([other for other in others if other.notna().any()], axis=1).min(axis=1, skipna=False)
    return int((sign * own < best).sum()), len(own)


def bins(results: ExperimentResults, field: str, metric: str) -> Bins | None:
    """|T - 1| ("transfer") or |r - 1| ("cross_correlation") bin by bin; None if the emulator's was not measured."""
    parts = [results.rows(field, metric, source).assign(source=source) for source in results.sources]
    rows = _distances(results, pd.concat(parts))
    if rows.empty or EMULATOR not in set(rows["source"]):
        return None
    table = rows.assign(x=common(rows)).groupby(["x", "source"])["value"].mean().unstack()
    columns = {source: table[source].to_numpy() for source in results.sources if source in table}
    better = [columns[EMULATOR] < column for source, column in columns.items() if source != EMULATOR]
    lost = ~np.all(better, axis=0) if better else np.zeros(len(table), bool)
    return Bins(table.index.to_numpy(), columns, lost)


def _distances(results: ExperimentResults, rows: pd.DataFrame) -> pd.DataFrame:
    within = rows[rows["x"] <= results.nyquist * SLACK]
    return within.assign(value=(within["value"] - 1).abs())
