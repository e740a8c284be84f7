"""Statistics of fields: moments of every channel in one pass over the data, pooled over any set of samples."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from .data.catalogue import Catalogue, Part, Sample
from .data.normalize import Identity, Transform
from .data.normalize import transform as find_transform
from .data.readers import Array, header, named, open_array, printable
from .data.scan import HIGHEST, tiles
from .errors import DataError
from .files import write_text

__all__ = ["Moments", "moments", "of_fold", "pool", "read_moments", "write_moments"]

BLOCK = 2**17  # values: with their float64 copy they stay in the second-level cache
LANE = 2**12  # values of a dot product: short enough that BLAS starts no threads
ONES = np.ones(LANE)


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of one channel of one field of one sample; the mean is `mean` + `rest`, beyond the digits of float64."""

    sample: str
    field: str
    channel: int
    count: int
    mean: float
    m2: float  # sum of squares about the mean
    min: float
    max: float
    nonfinite: int  # values left out: not finite, or outside the domain of the transform
    rest: float = 0.0


def moments(
    catalogue: Catalogue, transform: str = "identity", names: Sequence[str] = ("input", "target")
) -> list[Moments]:
    """One row a sample, field and channel, of the transformed values, in float64 and one pass over each file."""
    function = find_transform(transform)
    wanted = [name for name in names if name in catalogue.fields]
    scratch = np.empty(BLOCK)
    return [row for sample in catalogue for name in wanted for row in _field(sample, name, function, scratch)]


def pool(rows: Iterable[Moments], sample_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """field -> {"count", "mean", "std", "min", "max"}, one number a channel, over all values of these samples.

    Exact sums make the result independent of the order of samples and files (Chan, Golub & LeVeque 1983).
    Raises DataError when a sample has no moments or a channel no finite value.
    """
    chosen = set(sample_ids)
    grouped: dict[tuple[str, int], list[Moments]] = {}
    for row in rows:
        if row.sample in chosen:
            grouped.setdefault((row.field, row.channel), []).append(row)
    pooled: dict[str, dict[str, Any]] = {}
    for (field, channel), members in sorted(grouped.items()):
        _check_complete(field, channel, members, chosen)
        into = pooled.setdefault(field, {"count": [], "mean": [], "std": [], "min": [], "max": []})
        for word, value in _pooled(members).items():
            into[word].append(value)
    if not pooled:
        raise DataError("moments: none of the samples has any; expected a row a sample, field and channel")
    return pooled


def of_fold(
    normalize: Mapping[str, Mapping[str, str]], files: Iterable[str | Path], training: Iterable[Sample]
) -> dict[str, dict[str, Any]]:
    """Pooled moments of the training samples, each field ("input", "target") under the transform it is normalised by.

    `files`: tables of moments, named after their transforms.
    """
    tables = {Path(file).stem: read_moments(file) for file in files}
    ids = [sample.id for sample in training]
    pooled = {name: pool(rows, ids) for name, rows in tables.items()}
    return {field: pooled[chosen["transform"]][field] for field, chosen in normalize.items()}


def write_moments(path: str | Path, rows: Iterable[Moments]) -> None:
    """Publish the rows as CSV, every float exact."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Moments))
    writer.writerows(map(attrgetter(*(field.name for field in fields(Moments))), rows))
    write_text(path, stream.getvalue())


def read_moments(path: str | Path) -> list[Moments]:
    """The rows of a CSV file; DataError names the file when it is damaged."""
    with named(path, "table of moments"):
        rows = csv.reader(Path(path).read_text(encoding="utf-8").splitlines(keepends=True), strict=True)
        if next(rows) != [field.name for field in fields(Moments)]:
            raise DataError(f"{printable(path)}: another header; expected a table of moments")
        kinds = [field.type for field in fields(Moments)]
        return [Moments(*(kind(text) for kind, text in zip(kinds, row, strict=True))) for row in rows]


# ---- pooling


def _check_complete(field: str, channel: int, members: Sequence[Moments], chosen: set[str]) -> None:
    if missing := sorted(chosen - {row.sample for row in members}):
        raise DataError(f"moments: {field} channel {channel}: no row for sample {missing[0]!r}")
    if not sum(row.count for row in members):
        raise DataError(f"moments: {field} channel {channel}: no finite value in any sample")


def _pooled(members: Sequence[Moments]) -> dict[str, float]:
    rows = [row for row in members if row.count]
    count = sum(row.count for row in rows)
    mean = math.fsum(row.count * row.mean for row in rows) / count
    distances = [(row.mean - mean) + row.rest for row in rows]
    rest = math.fsum(row.count * d for row, d in zip(rows, distances, strict=True)) / count
    between = (row.count * (d - rest) ** 2 for row, d in zip(rows, distances, strict=True))
    m2 = math.fsum([*(row.m2 for row in rows), *between])
    low, high = min(row.min for row in rows), max(row.max for row in rows)
    std = math.sqrt(m2 / count) if low < high else 0.0
    return {"count": count, "mean": mean + rest, "std": std, "min": low, "max": high}


# ---- one pass


def _field(sample: Sample, name: str, transform: Transform, scratch: np.ndarray) -> Iterator[Moments]:
    channel = 0
    for part in sample.parts(name):
        for one in _part(part, transform, scratch):
            yield one.row(sample.id, name, channel)
            channel += 1


def _part(part: Part, transform: Transform, scratch: np.ndarray) -> "list[Channel]":
    now = header(part.file, part.dataset)
    if (now.size, now.shape, now.dtype) != (part.size, part.shape, part.dtype):
        raise DataError(f"{printable(part.file)}: changed since the catalogue was made")
    array = open_array(part.file, part.dataset)
    channels = [Channel(transform, scratch) for _ in range(part.shape[0])]
    for channel, block in _blocks(array):
        channels[channel].add(block)
    return channels


def _blocks(array: Array) -> Iterator[tuple[int, np.ndarray]]:
    """(channel, values in one piece), each value of the array once."""
    if isinstance(array, np.ndarray) and array.flags.c_contiguous:
        for channel, values in enumerate(array.reshape(len(array), -1)):
            for start in range(0, len(values), BLOCK):
                yield channel, values[start : start + BLOCK]
        return
    for place in _places(array):
        for channel, values in enumerate(np.asarray(array[place]), place[0].start):
            yield channel, values.reshape(-1)


def _places(array: Array) -> Iterator[tuple[slice, ...]]:
    shape = array.shape
    if isinstance(array, np.ndarray):  # Fortran order: the first axis is the fastest
        for place in tiles(shape[::-1], (1,) * len(shape), BLOCK):
            yield place[::-1]
    else:
        yield from tiles(shape, array.chunks, BLOCK)


class Channel:
    """Running sums of one channel about a pivot near its mean, so that no digits cancel.

    `scratch`: float64 (BLOCK,), whose content is of no use between calls.
    """

    def __init__(self, transform: Transform, scratch: np.ndarray) -> None:
        self.transform = transform
        self.pivot: float | None = None  # near the mean of the first block: the rest is at most its share further away
        self.count = self.nonfinite = 0
        self.low, self.high = math.inf, -math.inf
        self.sums: list[float] = []
        self.squares: list[float] = []
        self.scratch = scratch

    def add(self, block: np.ndarray) -> None:
        """Take in any number of values, 1-D, in the dtype of the file."""
        for start in range(0, len(block), BLOCK):
            self._add(block[start : start + BLOCK])

    def _add(self, block: np.ndarray) -> None:
        values = self.scratch[: len(block)]
        np.copyto(values, block)
        if self.transform is not Identity and block.dtype.itemsize > 4:
            values[np.abs(values) > HIGHEST] = np.nan  # training reads float32
        values = self.transform.forward(values)
        seen = block if self.transform is Identity else values
        low, high = float(seen.min()), float(seen.max())
        if not (-HIGHEST <= low and high <= HIGHEST):
            values = values[np.abs(values) <= HIGHEST]
            self.nonfinite += len(block) - len(values)
            if not len(values):
                return
            low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._sum(values)

    def _sum(self, values: np.ndarray) -> None:
        if self.pivot is None:
            self.pivot = _pivot(values)
        if self.pivot:
            values -= self.pivot
        self.count += len(values)
        whole = len(values) // LANE * LANE
        lanes, rest = values[:whole].reshape(-1, LANE), values[whole:]
        self.sums.append(float(np.vecdot(lanes, ONES).sum() + np.vecdot(rest, ONES[: len(rest)])))
        self.squares.append(float(np.vecdot(lanes, lanes).sum() + np.vecdot(rest, rest)))

    def row(self, sample: str, field: str, channel: int) -> Moments:
        """The moments about the mean."""
        if not self.count:
            return Moments(sample, field, channel, 0, 0.0, 0.0, 0.0, 0.0, self.nonfinite)
        shift = math.fsum(self.sums) / self.count
        mean = self.pivot + shift
        rest = (self.pivot - mean) + shift
        m2 = math.fsum(self.squares) - shift**2 * self.count
        return Moments(
            sample, field, channel, self.count, mean, max(m2, 0.0), self.low, self.high, self.nonfinite, rest
        )


def _pivot(values: np.ndarray) -> float:
    """About the mean of the first block, or 0 where that is as good and saves a subtraction."""
    some = values[:: len(values) // LANE + 1]
    mean, spread = float(some.mean()), float(some.std())
    return mean if abs(mean) > spread else 0.0
