"""What several models tell of labels, as tables: of each sample, and of each of its slices."""

import contextlib
import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data import predictions
from ..files import written
from .ensemble import mean, same, spread

__all__ = ["told", "tabulate"]

PLACE = ("axis", "start")  # what stands before the answers of a model, in its file and in the table of slices
Columns = dict[str, np.ndarray]


def tabulate(settings: Mapping[str, Any], files: Sequence[str], outputs: Any) -> str:
    """Write `outputs.samples` and `outputs.slices`, CSV; see `told` for their columns. Returns a line about them.

    settings: `labels`, their names; files: what each model told. As in evaluation the answer to a sample is the mean
    over its slices. Memory is that of one sample; raises DataError when the files do not hold the same samples.
    """
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(predictions.opened(file)) for file in files]
        streams = [stack.enter_context(written(path)) for path in (outputs.samples, outputs.slices)]
        writers = [csv.writer(stream, lineterminator="\n") for stream in streams]
        names = same(files, models)
        for name in names:
            table = np.stack([model[name][...] for model in models]).astype(float)
            place, values = table[0, : len(PLACE)].astype(int), table[:, len(PLACE) :]
            asked = str(models[0][name].attrs["columns"]).split()[len(PLACE) :], settings["labels"]
            whole, each = told(values.mean(-1, keepdims=True), *asked), told(values, *asked)
            for writer, columns in zip(writers, (whole, dict(zip(PLACE, place, strict=True)) | each), strict=True):
                _write(writer, name, columns, head=name == names[0])
    return f"{len(names)} samples by {len(files)} models"


def told(values: np.ndarray, columns: Sequence[str], labels: Sequence[str]) -> Columns:
    """What models say together of n examples, column by column, from `Answers.columns`, (models, columns, n).

    Of classes the most probable one, and the mean of the probabilities that the models give, with the standard
    deviation between models as `spread`: of two classes that of class 1. Of each parameter the mean, the deviation that
    the models state (the root of their mean variance), and again the spread of their means. Nothing spreads of one.
    """
    return _parameters(values, labels) if columns[0].startswith("mean_") else _classes(values, labels[0])


def _classes(values: np.ndarray, label: str) -> Columns:
    each = _probabilities(values)
    together, between = mean(each), _spread(each)
    binary = len(together) == 1
    found = {"answer": (together[0] >= 0.5).astype(int) if binary else together.argmax(0)}
    for place, name in enumerate([label] if binary else range(len(together))):
        found |= {f"probability_{name}": together[place], f"spread_{name}": between[place]}
    return found


def _parameters(values: np.ndarray, labels: Sequence[str]) -> Columns:
    means, variances = np.split(values, 2, axis=1)
    known = {"mean": mean(means), "std": np.sqrt(mean(variances)), "spread": _spread(means)}
    return {f"{word}_{label}": column[place] for place, label in enumerate(labels) for word, column in known.items()}


def _probabilities(values: np.ndarray) -> np.ndarray:
    """Of logits of two classes that of class 1, (models, 1, n); of log-probabilities of several, up to a constant."""
    if values.shape[1] == 1:
        return np.exp(-np.logaddexp(0.0, -values))
    return np.exp(values - np.logaddexp.reduce(values, axis=1, keepdims=True))


def _spread(values: np.ndarray) -> np.ndarray:
    return spread(values) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def _write(writer: Any, name: str, columns: Columns, head: bool) -> None:
    """The rows of a sample: seven digits of each number, and nothing for one that there is not."""
    if head:
        writer.writerow(["sample", *columns])
    for row in zip(*columns.values(), strict=True):
        writer.writerow([name, *("" if np.isnan(value) else f"{value:.7g}" for value in row)])
