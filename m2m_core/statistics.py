"""Statistics of fields: moments, and quantiles, of every channel in one pass over the data, pooled over any samples."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from . import registry
from .data.arrays import opened
from .data.catalogue import Catalogue, Part, Sample
from .data.normalize import edges, normals
from .data.quantiles import FRACTIONS, Histogram, Sketch, pooled
from .data.readers import Array, named, printable
from .data.scan import HIGHEST, tiles
from .data.transforms import Identity, Transform
from .data.transforms import transform as find_transform
from .errors import DataError
from .files import write_text

__all__ = [
    "Moments", "Quantiles", "moments", "of_fold", "pool", "quantiles", "read_moments", "read_quantiles",
    "write_moments", "write_quantiles",
]  # fmt: skip

BLOCK = 2**17  # values: with their float64 copy they stay in the second-level cache
LANE = 2**12  # values of a dot product: short enough that BLAS starts no threads
ONES = np.ones(LANE)
WORTHWHILE = 2**30  # bytes of fields from which several processes read them
SKETCHED = ("sample", "field", "channel", "count", "knots")  # columns of a table of quantiles


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


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A sketch of the distribution of one channel of one field of one sample."""

    sample: str
    field: str
    channel: int
    sketch: Sketch


def moments(
    catalogue: Catalogue,
    transform: str | Sequence[str] = "identity",
    names: Sequence[str] = ("input", "target"),
    processes: int = 1,
) -> list[Moments]:
    """One row a sample, field and channel, of the transformed values, in float64 and one pass over each file."""
    return _each(catalogue, partial(_rows, Channel, transform, names), processes)


def quantiles(
    catalogue: Catalogue,
    transform: str | Sequence[str] = "identity",
    names: Sequence[str] = ("input", "target"),
    processes: int = 1,
) -> list[Quantiles]:
    """The same of their distribution; memory: 8 MiB a channel of a sample, in each process."""
    return _each(catalogue, partial(_rows, Distribution, transform, names), processes)


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
    normalize: Mapping[str, Any], files: Iterable[str | Path], training: Iterable[Sample]
) -> dict[str, dict[str, Any]]:
    """Pooled moments of the training samples, each field or part under the transform it is normalised by.

    A field that the samples do not have, as a target of data with labels, has none.
    Where its scaling needs quantiles: "quantiles", part of the values below -> one number a channel.
    `files`: tables of moments, named after their transforms, and of quantiles.
    """
    training = list(training)
    tables = {path.stem: _read(path) for path in map(Path, files)}
    held = {field: chosen for field, chosen in normalize.items() if field in training[0].fields}
    return {field: _of_field(chosen, field, tables, training) for field, chosen in held.items()}


def _of_field(
    chosen: Mapping[str, Any], field: str, tables: Mapping[str, list], training: Sequence[Sample]
) -> dict[str, Any]:
    parts = normals(chosen)
    places = edges(chosen, [part.shape[0] for part in training[0].parts(field)], field)
    found = [
        _of_part(part, field, range(*place), tables, [sample.id for sample in training])
        for part, place in zip(parts.values(), pairwise(places), strict=True)
    ]
    return _joined(found)


def _of_part(
    part: Mapping[str, Any], field: str, channels: range, tables: Mapping[str, list], ids: Sequence[str]
) -> dict[str, Any]:
    name = part["transform"] if isinstance(part["transform"], str) else "-".join(part["transform"])
    rows = [row for row in tables[name] if row.field == field and row.channel in channels]
    pooled_moments = pool(rows, ids)[field]
    if not (fractions := _fractions(part["scaling"])):
        return pooled_moments
    rows = [row for row in tables[f"{name}.quantiles"] if row.field == field and row.channel in channels]
    return {**pooled_moments, "quantiles": _pool_quantiles(rows, ids, fractions)}


def _fractions(scaling: str | Mapping[str, Any]) -> tuple[float, ...]:
    """The quantiles that a scaling needs."""
    options = {"name": scaling} if isinstance(scaling, str) else dict(scaling)
    name = options.pop("name")
    return registry.load("quantiles", name)(**options) if name in registry.entries("quantiles") else ()


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The statistics of a field from those of its parts, in the order of channels; null where a part needs none."""
    words = dict.fromkeys(word for part in parts for word in part if word != "quantiles")
    joined: dict[str, Any] = {word: [number for part in parts for number in part[word]] for word in words}
    if asked := dict.fromkeys(q for part in parts for q in part.get("quantiles", {})):
        found = [(part.get("quantiles", {}), [None] * len(part["mean"])) for part in parts]
        joined["quantiles"] = {q: [number for known, none in found for number in known.get(q, none)] for q in asked}
    return joined


def write_moments(path: str | Path, rows: Iterable[Moments]) -> None:
    """Publish the rows as CSV, every float exact."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Moments))
    writer.writerows(map(attrgetter(*(field.name for field in fields(Moments))), rows))
    write_text(path, stream.getvalue())


def write_quantiles(path: str | Path, rows: Iterable[Quantiles]) -> None:
    """Publish the rows as CSV, the values of a sketch in one column."""
    cells = ([r.sample, r.field, r.channel, r.sketch.count, " ".join(map(repr, r.sketch.knots))] for r in rows)
    lines = (",".join(map(str, row)) for row in ([*SKETCHED], *cells))
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_quantiles(path: str | Path) -> list[Quantiles]:
    """The rows of a CSV file; DataError names the file when it is damaged."""
    with named(path, "table of quantiles"):
        text = Path(path).read_text(encoding="utf-8")
        head, *rows = (line.split(",") for line in text.splitlines())
        if tuple(head) != SKETCHED or not text.endswith("\n"):
            raise DataError(f"{printable(path)}: another header, or cut short; expected a table of quantiles")
        return [_quantiles(*row) for row in rows]


def _quantiles(sample: str, field: str, channel: str, count: str, knots: str) -> Quantiles:
    values = tuple(map(float, knots.split()))
    if len(values) != (len(FRACTIONS) if int(count) else 0):
        raise ValueError(f"{len(values)} numbers; expected {len(FRACTIONS)}")
    return Quantiles(sample, field, int(channel), Sketch(int(count), values))


def read_moments(path: str | Path) -> list[Moments]:
    """The rows of a CSV file; DataError names the file when it is damaged."""
    with named(path, "table of moments"):
        rows = csv.reader(Path(path).read_text(encoding="utf-8").splitlines(keepends=True), strict=True)
        if next(rows) != [field.name for field in fields(Moments)]:
            raise DataError(f"{printable(path)}: another header; expected a table of moments")
        kinds = [field.type for field in fields(Moments)]
        return [Moments(*(kind(text) for kind, text in zip(kinds, row, strict=True))) for row in rows]


def _read(path: Path) -> list:
    return read_quantiles(path) if path.stem.endswith(".quantiles") else read_moments(path)


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


def _pool_quantiles(
    rows: Sequence[Quantiles], ids: Iterable[str], fractions: Iterable[float]
) -> dict[str, list[float]]:
    chosen = set(ids)
    channels: dict[int, list[Sketch]] = {}
    for row in rows:
        if row.sample in chosen and row.sketch.count:
            channels.setdefault(row.channel, []).append(row.sketch)
    return {repr(q): [pooled(channels[channel], q) for channel in sorted(channels)] for q in fractions}


# ---- one pass


def _each(catalogue: Catalogue, rows: Callable[[Sample], list], processes: int) -> list:
    """The rows of all samples, in their order; of large data by several processes, each of which unpacks HDF5."""
    size = sum(math.prod(part.shape) * np.dtype(part.dtype).itemsize for s in catalogue for part in s.arrays)
    if processes == 1 or size < WORTHWHILE:
        return [row for sample in catalogue for row in rows(sample)]
    with get_context("fork").Pool(processes) as pool:
        return [row for found in pool.imap(rows, catalogue) for row in found]


def _rows(kind: Callable[..., Any], transform: str | Sequence[str], names: Sequence[str], sample: Sample) -> list:
    begin = partial(kind, find_transform(transform), np.empty(BLOCK))
    return [channel.row(*place) for *place, channel in _pass(sample, begin, names)]


def _pass(sample: Sample, begin: Callable[[], Any], names: Sequence[str]) -> Iterator[tuple[str, str, int, Any]]:
    """(sample, field, channel, what `begin` made and all values of the channel were added to)."""
    for name in names:
        if name in sample.fields:
            channels = (channel for part in sample.parts(name) for channel in _part(part, begin))
            yield from ((sample.id, name, number, channel) for number, channel in enumerate(channels))


def _part(part: Part, begin: Callable[[], Any]) -> list[Any]:
    array = opened(part)
    channels = [begin() for _ in range(part.shape[0])]
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
        values, low, high = _transformed(self.transform, block, self.scratch)
        self.nonfinite += len(block) - len(values)
        if len(values):
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


class Distribution:
    """The histogram of one channel; parameters as of `Channel`."""

    def __init__(self, transform: Transform, scratch: np.ndarray) -> None:
        self.transform, self.scratch = transform, scratch
        self.histogram = Histogram()

    def add(self, block: np.ndarray) -> None:
        """Take in any number of values, 1-D, in the dtype of the file."""
        for start in range(0, len(block), BLOCK):
            values, _, _ = _transformed(self.transform, block[start : start + BLOCK], self.scratch)
            if len(values):
                self.histogram.add(values, _pivot(values))

    def row(self, sample: str, field: str, channel: int) -> Quantiles:
        """The sketch."""
        return Quantiles(sample, field, channel, self.histogram.sketch())


def _transformed(transform: Transform, block: np.ndarray, scratch: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The values of a block that are finite after the transform, in float64, with the least and the greatest."""
    values = scratch[: len(block)]
    np.copyto(values, block)
    if transform is not Identity and block.dtype.itemsize > 4:
        values[np.abs(values) > HIGHEST] = np.nan  # training reads float32
    values = transform.forward(values)
    seen = block if transform is Identity else values
    low, high = float(seen.min()), float(seen.max())
    if not (-HIGHEST <= low and high <= HIGHEST):
        values = values[np.abs(values) <= HIGHEST]
        low, high = (float(values.min()), float(values.max())) if len(values) else (math.inf, -math.inf)
    return values, low, high


def _pivot(values: np.ndarray) -> float:
    """About the mean of the first block, or 0 where that is as good and saves a subtraction."""
    some = values[:: len(values) // LANE + 1]
    mean, spread = float(some.mean()), float(some.std())
    return mean if abs(mean) > spread else 0.0
