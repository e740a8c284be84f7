"""Labels and answers: from what a network or a baseline returns for the examples of a sample to rows of evaluation.csv.

Of classes a row is `label`, the true one; `answer`, the one with the greatest score; `score`, x the class, the logit of
its probability (of two classes that of class 1). The score of a sample is the mean over its slices: of the logit of two
classes, of log-probabilities of several, made probabilities again. Slices of a sample are not independent, so their
sum would be far too sure. `slices_<class>`, x the middle of a bin in that logit, counts slices: bins of WIDTH, or of so
many halves of it that the slices of the sample fill several. `slice_answers`, x the class, their answers. Of parameters
a row is `label`, `mean`, `variance` (means over the slices, as if all said the same), and the means over slices
`slice_square`, `slice_chi2`, `slice_within_1` and `_2`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError

__all__ = ["Answers"]

LEAST, GREATEST = 1e-14, 1e18  # deviations of parameters whose variances are kept in float32
WIDTH, LARGEST = 0.1, 20.0  # of bins in a logit, and of a logit that is told from greater ones
FILLED, HALVED = 10, 20  # bins between the quartiles of the slices of a sample, where WIDTH halved so often allows
Row = tuple[str, str, float | None, float]


@dataclass(frozen=True)
class Answers:
    """What is asked: `names` of the labels, `classes` that there are (None of parameters).

    mean, spread: (P,) of parameters in the training samples, by which they are made dimensionless
    """

    names: Sequence[str]
    classes: int | None
    mean: np.ndarray | None = None
    spread: np.ndarray | None = None

    @classmethod
    def learnt_from(cls, names: Sequence[str], kind: str, classes: int | None, truths: np.ndarray) -> "Answers":
        """What `kind` of labels asks; truths (n, P) are those of the training samples alone."""
        if kind != "regression":
            return cls(names, classes if kind == "classes" else 2)
        spread = truths.std(0)
        for name, extent, deviation in zip(names, np.ptp(truths, axis=0), spread, strict=True):
            if not extent:  # the deviation of equal numbers may be that of their rounding
                text = f"{name!r} is the same in all training samples; expected one that varies"
                raise DataError(f"task.labels: {text}")
            if not LEAST <= deviation <= GREATEST:
                text = f"{name!r} varies by {deviation:.3g}, and its variance is no float32; expected other units"
                raise DataError(f"task.labels: {text}")
        return cls(names, None, truths.mean(0), spread)

    @property
    def outputs(self) -> int:
        """How many numbers a network returns: a logit, a score of each class, or a mean and a variance of each."""
        return 2 * len(self.names) if self.classes is None else 1 if self.classes == 2 else self.classes

    @property
    def columns(self) -> list[str]:
        """What `told` returns of an example."""
        if self.classes is None:
            return [f"{word}_{name}" for word in ("mean", "variance") for name in self.names]
        return ["logit"] if self.classes == 2 else [f"log_probability_{c}" for c in range(self.classes)]

    def truth(self, name: str, values: Sequence[float]) -> np.ndarray:
        """The labels (P,) of sample `name` as they are; raises DataError on a class that there is not."""
        found = np.array(values, float)
        if self.classes is not None and not (found[0].is_integer() and 0 <= found[0] < self.classes):
            expected = "0 or 1" if self.classes == 2 else f"a whole number from 0 to {self.classes - 1}"
            raise DataError(f"sample {name!r}: label {self.names[0]} is {found[0]:g}; expected {expected}")
        return found

    def check(self, training: Iterable[np.ndarray], everything: Iterable[np.ndarray]) -> None:
        """Refuse classes of which nothing can be learnt, from the truths of samples; raises DataError."""
        if self.classes is None:
            return
        learnt, known = ({int(truth[0]) for truth in truths} for truths in (training, everything))
        if len(learnt) < 2:
            text = f"{self.names[0]} is {min(learnt)} in all training samples; expected two classes at least"
            raise DataError(f"task.labels: {text}")
        if missing := sorted(set(range(self.classes)) - known):
            text = f"{self.names[0]} is {missing[0]} in no sample; expected each of {self.classes} classes in some"
            raise DataError(f"task.labels: {text}")

    def target(self, truth: np.ndarray) -> np.ndarray:
        """What a network is compared with, float32: 0 or 1, one-hot, or standardised parameters."""
        if self.classes is None:
            return ((truth - self.mean) / self.spread).astype("f4")
        return truth.astype("f4") if self.classes == 2 else np.eye(self.classes, dtype="f4")[int(truth[0])]

    def told(self, outputs: np.ndarray) -> np.ndarray:
        """The `columns` (n, ...) of what a network returned (n, outputs), in the units of the labels."""
        outputs = np.asarray(outputs, float)
        if self.classes is None:
            mean, spread = np.split(outputs, 2, axis=1)
            return np.hstack([mean * self.spread + self.mean, np.exp(np.clip(spread, -20, 20)) * self.spread**2])
        if self.classes == 2:
            return outputs if outputs.shape[1] == 1 else outputs[:, 1:] - outputs[:, :1]
        return outputs - np.logaddexp.reduce(outputs, axis=1, keepdims=True)

    # ---- rows

    def rows(self, told: np.ndarray, truth: np.ndarray) -> Iterator[Row]:
        """(field, metric, x, value) of a sample from the columns (n, ...) of its examples; see the module."""
        if self.classes is None:
            for place, name in enumerate(self.names):
                yield from ((name, *row) for row in _parameter(told[:, place :: len(self.names)], truth[place]))
        else:
            yield from ((self.names[0], *row) for row in self._classes(told, int(truth[0])))

    def _classes(self, told: np.ndarray, truth: int) -> Iterator[tuple[str, float | None, float]]:
        whole, each = self._logits(told.mean(0, keepdims=True)), self._logits(told)
        yield "label", None, truth
        yield "answer", None, float(_answers(whole)[0])
        yield from (("score", c, value) for c, value in zip(self._asked, whole[0], strict=True))
        if len(told) < 2:
            return
        yield from (("slice_answers", c, n) for c, n in zip(*_counted(_answers(each)), strict=True))
        for c, column in zip(self._asked, each.T, strict=True):
            yield from ((f"slices_{c}", x, n) for x, n in zip(*_binned(column), strict=True))

    @property
    def _asked(self) -> range:
        """The classes that have a score."""
        return range(1, 2) if self.classes == 2 else range(self.classes or 0)

    def _logits(self, told: np.ndarray) -> np.ndarray:
        """Of the probability of each class that has a score, (n, asked)."""
        if self.classes == 2:
            return told
        logs = np.minimum(told - np.logaddexp.reduce(told, axis=1, keepdims=True), -1e-15)
        return logs - np.log(-np.expm1(logs))


def _answers(logits: np.ndarray) -> np.ndarray:
    return (logits[:, 0] >= 0).astype(int) if logits.shape[1] == 1 else logits.argmax(1)


def _binned(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the bins that hold any, and how many; none lies on both sides of 0, the threshold."""
    logits = np.clip(logits, -LARGEST, LARGEST)
    apart = max(float(np.subtract(*np.quantile(logits, [0.75, 0.25]))), WIDTH / 2**HALVED)
    width = WIDTH / 2 ** min(HALVED, max(0, math.ceil(math.log2(FILLED * WIDTH / apart))))
    bins, counts = _counted(np.floor(logits / width).astype(int))
    return np.round((bins + 0.5) * width, 12), counts


def _counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(values, return_counts=True)


def _parameter(told: np.ndarray, truth: float) -> Iterator[tuple[str, float | None, float]]:
    """Of means and variances (n, 2) of one parameter."""
    mean, variance = told.mean(0)
    yield from (("label", None, truth), ("mean", None, mean), ("variance", None, variance))
    if len(told) < 2:
        return
    square = np.square(told[:, 0] - truth)
    pull = square / told[:, 1]
    yield from (("slice_square", None, square.mean()), ("slice_chi2", None, pull.mean()))
    yield from ((f"slice_within_{n}", None, np.mean(pull <= n**2)) for n in (1, 2))
