"""What the report reads from the results tree: evaluations, histories and predictions of one experiment, lazily."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ..data.catalogue import Catalogue, Sample
from ..data.fields import Fields
from ..data.predictions import names
from ..errors import DataError

__all__ = ["EMULATOR", "Curve", "ExperimentResults", "results_of"]

EMULATOR = "emulator"
NAMES = ["sample", "source", "field", "metric"]
HISTORY = ["step", "epoch", "loss", "validation", "lr"]
OPPOSED = ["adversarial", "critic"]  # of a history of two networks that train against each other
FIRST = {"displacement": 0, "density": 1}
POINTS = 2000  # more points than this a line of a figure cannot show


@dataclass(frozen=True)
class Curve:
    """Mean and standard deviation over `count` held-out samples; `mean` and `spread` have the shape of `x`."""

    x: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    count: int


@dataclass(frozen=True)
class ExperimentResults:
    """All results of one experiment; a fold is a folder, or the paths of its files by name, because
    experiments share what is equal; a fold without results is `None`, or has no evaluation.csv.

    `base` names the experiment that `ablation` varies (None, or its own name, if it is no ablation).
    """

    name: str
    label: str
    base: str | None
    config: Mapping[str, Any]
    folds: Mapping[int, Path | Mapping[str, Path] | None]
    catalogue_path: Path
    ablation: str | None = None

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.read(self.catalogue_path)

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """All rows of all evaluated folds: fold, sample, source, field, metric, x (NaN for scalars), value."""
        tables = {k: _evaluation(path) for k, path in self._files("evaluation.csv").items()}
        frames = [table.assign(fold=k) for k, table in tables.items()]
        empty = pd.DataFrame({name: pd.Series(dtype=str) for name in NAMES} | {"x": [], "value": [], "fold": []})
        table = pd.concat(frames, ignore_index=True) if frames else empty
        return table.astype(dict.fromkeys(NAMES, "category"))

    @cached_property
    def histories(self) -> dict[int, pd.DataFrame]:
        """The learning history of each fold that has one, thinned; the last row and the validations stay."""
        return {k: thinned(_history(path)) for k, path in self._files("history.csv").items()}

    @cached_property
    def predictions(self) -> dict[int, Path]:
        """The predictions.h5 of each fold that has one."""
        return self._files("predictions.h5")

    @cached_property
    def trainings(self) -> dict[int, dict[str, Any]]:
        """The training.json of each fold that has one."""
        return {k: _json(path) for k, path in self._files("training.json").items()}

    @property
    def dataset(self) -> str:
        return str(self.config.get("dataset", ""))

    @cached_property
    def evaluated(self) -> list[int]:
        return sorted(self._files("evaluation.csv"))

    @cached_property
    def missing(self) -> list[int]:
        """The folds without an evaluation."""
        return [k for k in sorted(self.folds) if k not in self.evaluated]

    @cached_property
    def fields(self) -> list[str]:
        """The judged fields, displacement and density first."""
        return sorted(
            set(self.evaluation["field"].unique()) - set(self.labels), key=lambda name: (FIRST.get(name, 2), name)
        )

    @cached_property
    def labels(self) -> list[str]:
        """The labels that were asked for, see `metrics.answers`."""
        table = self.evaluation
        return sorted(table.loc[table["metric"] == "label", "field"].unique())

    @cached_property
    def baselines(self) -> list[str]:
        """All judged sources but the emulator, the input first."""
        names = set(self.evaluation["source"].unique()) - {EMULATOR}
        return sorted(names, key=lambda name: (name != "input", name))

    @property
    def sources(self) -> list[str]:
        return [EMULATOR, *self.baselines]

    @cached_property
    def dims(self) -> int:
        """Number of space axes of the target."""
        return len(self._first.shape("target")) - 1

    @cached_property
    def nyquist(self) -> float:
        """Nyquist frequency pi N / L [h/Mpc] of the coarsest axis of all samples."""
        return min(_nyquist(sample) for sample in self.catalogue.samples)

    @cached_property
    def unit(self) -> str:
        """Unit of the target: Mpc/h for a displacement, else what the predictions say."""
        if self._first.quantities("target")[0][0] == "displacement":
            return "Mpc/h"
        for path in self.predictions.values():
            with h5py.File(path) as file:
                dataset = next((file[key] for key in names(file)), None)
                return "" if dataset is None else str(dataset.attrs.get("unit", ""))
        return ""

    def rows(self, field: str, metric: str, source: str) -> pd.DataFrame:
        """The rows (fold, sample, x, value) of one metric of one source."""
        return self._groups.get((field, metric, source), self._nothing)

    def curve(self, field: str, metric: str, source: str) -> Curve | None:
        """The metric as a function of x, over the held-out samples of all evaluated folds; None if not measured."""
        return self.joined(self.rows(field, metric, source))

    def joined(self, rows: pd.DataFrame) -> Curve | None:
        """The curve through rows (sample, x, value), over their samples; None if there is none."""
        rows = rows.dropna(subset=["x"])
        if rows.empty:
            return None
        groups = rows.assign(x=common(rows)).groupby("x")["value"]
        mean, spread = groups.mean(), groups.std()
        return Curve(mean.index.to_numpy(), mean.to_numpy(), spread.to_numpy(), rows["sample"].nunique())

    def truth(self, field: str, metric: str) -> Curve | None:
        """The curve of the truth (`power_truth`, `pdf_truth`), which every source repeats."""
        curves = (self.curve(field, f"{metric}_truth", source) for source in self.sources)
        return next((curve for curve in curves if curve is not None), None)

    def scalars(self, field: str) -> list[str]:
        """Names of the metrics of `field` that are single numbers."""
        rows = self.evaluation[(self.evaluation["field"] == field) & self.evaluation["x"].isna()]
        return list(rows["metric"].unique())

    def prediction(self, fold: int, sample: str, region: tuple[slice, ...] = ()) -> np.ndarray:
        """A region (a slice per axis, channels first) of a prediction, physical units; all of it unless given."""
        path = self.predictions[fold]
        with h5py.File(path) as file:
            if sample not in file:
                raise DataError(f"{path}: sample {sample!r} is missing; expected one dataset a held-out sample")
            return np.asarray(file[sample][region or ...], dtype=np.float32)

    def region(self, sample: Sample, name: str, region: tuple[slice, ...] = ()) -> np.ndarray:
        """A region (a slice per axis, channels first) of a field, physical units; all of it unless given."""
        fields, space = Fields(mask=True), sample.shape(name)[1:]
        if not region:
            return fields.whole(sample, name)
        spans = [cut.indices(count)[:2] for cut, count in zip(region[1:], space, strict=True)]
        start, shape = [low for low, _ in spans], [high - low for low, high in spans]
        return fields.block(sample, name, tuple(start), tuple(shape))[region[0]]

    @cached_property
    def _groups(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        return dict(iter(self.evaluation.groupby(["field", "metric", "source"], observed=True)))

    @property
    def _nothing(self) -> pd.DataFrame:
        return self.evaluation.iloc[:0]

    @property
    def _first(self) -> Sample:
        return self.catalogue.samples[0]

    def _files(self, name: str) -> dict[int, Path]:
        paths = {k: _path(files, name) for k, files in sorted(self.folds.items())}
        return {k: path for k, path in paths.items() if path is not None and path.is_file()}


def results_of(described: Mapping[str, Any]) -> ExperimentResults:
    """The results of an experiment as the workflow describes it: name, label, base, config, folds, catalogue."""
    folds = {int(k): {name: Path(path) for name, path in files.items()} for k, files in described["folds"].items()}
    keys = {key: described[key] for key in ("name", "label", "base", "config", "ablation")}
    return ExperimentResults(**keys, folds=folds, catalogue_path=Path(described["catalogue"]))


def _path(files: "Path | Mapping[str, Path] | None", name: str) -> Path | None:
    return files.get(name) if isinstance(files, Mapping) else files / name if files else None


def thinned(history: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most `points` rows, half of them kept for rows with a validation; first and last rows stay."""
    if len(history) <= points:
        return history
    rows = np.arange(len(history))
    measured = rows[history["validation"].notna().to_numpy()]
    keep = np.union1d(_spaced(rows, points - points // 2), _spaced(measured, points // 2))
    return history.iloc[keep].reset_index(drop=True)


def common(rows: pd.DataFrame) -> np.ndarray:
    """x of each row, on bins common to all samples: as written if samples share their bins, else the means of new ones.

    Samples of different boxes have different k; joined as they are, their mean would jump between them.
    """
    x = rows["x"].to_numpy(float)
    count = int(rows.groupby("sample", observed=True)["x"].nunique().max())
    written = x.round(12)
    if len(np.unique(written)) <= 1.5 * count:
        return written
    low, high = x.min(), x.max()
    edges = np.geomspace(low, high, count + 1) if low > 0 else np.linspace(low, high, count + 1)
    which = pd.Series(np.clip(np.searchsorted(edges, x, side="right"), 1, count))
    return pd.Series(x).groupby(which).transform("mean").to_numpy()


def _spaced(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)] if len(rows) else rows


def _nyquist(sample: Sample) -> float:
    return min(
        np.pi * cells / length for cells, length in zip(sample.shape("target")[1:], sample.box_size, strict=True)
    )


def _evaluation(path: Path) -> pd.DataFrame:
    table = _table(path, [*NAMES, "x", "value"], text=NAMES)
    return table.assign(x=_numbers(table, "x", path), value=_numbers(table, "value", path))


def _history(path: Path) -> pd.DataFrame:
    table = _table(path, HISTORY, text=[], more=OPPOSED)
    return table.assign(**{name: _numbers(table, name, path) for name in table})


def _table(path: Path, columns: list[str], text: list[str], more: Sequence[str] = ()) -> pd.DataFrame:
    """The `columns` of a file, which must be there, and as many of `more` as are."""
    every = [*columns, *more]
    empty, wanted = {name: ["", "nan"] for name in every if name not in text}, every.__contains__
    try:  # ids such as "NA" and "007" are text, hence no guessing of missing values
        table = pd.read_csv(
            path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=empty, usecols=wanted
        )
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a CSV table: {str(error).splitlines()[0]}") from error
    if lacking := [name for name in columns if name not in table.columns]:
        raise DataError(f"{path}: column {lacking[0]!r} is missing; expected {', '.join(columns)}")
    return table


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    try:
        return pd.to_numeric(table[column]).astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: column {column!r}: {error}; expected numbers") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: a {type(value).__name__}; expected a mapping")
    return value
