"""The catalogue: which samples there are, in which files, of what content, and in which fold each is held out."""

import contextlib
import csv
import gc
import io
import itertools
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import write_text
from .arrays import fits
from .checks import check_samples, duplicates, refuse_nonfinite
from .readers import headers, named, printable
from .scan import VALUES, Finding, scan, scan_values

__all__ = ["Catalogue", "Part", "Sample", "build", "inspected", "natural"]

COLUMNS = (
    "id", "group", "fold", "field", "file", "dataset", "shape", "dtype", "size", "digest", "quantity", "nonfinite",
    "zeros",
    "box_size", "redshift", "omega_m", "periodic", "parameters",
)  # fmt: skip
FACTOR = "factor"
THREADS = min(4, os.cpu_count() or 1)
WORTHWHILE = 2**18  # bytes a file, on average, from which threads hash faster than one


@dataclass(frozen=True, slots=True)
class Part:
    """One array on disk; the parts of a field are concatenated along the channels."""

    file: str  # as given: absolute, or relative to the working directory
    dataset: str  # path inside an HDF5 file, "" for .npy
    shape: tuple[int, ...]  # (channels, *space)
    dtype: str  # numpy dtype.str
    size: int  # bytes of the whole file
    digest: str  # sha256 of the whole file, or VALUES and that of these values where files hold many samples
    quantity: str  # how the channels transform: "scalar", "vector", "pseudovector" or "displacement" [Mpc/h]
    nonfinite: int  # values that are not finite as float32
    zeros: int = 0  # values in a tail of zeros as long as a crash may leave, else 0
    factor: float = 1.0  # what the values are multiplied with when they are read
    terms: tuple["Part", ...] = ()  # arrays of the same shape that are added, each times its factor

    @property
    def alone(self) -> bool:
        """Whether the digest is of these values alone."""
        return self.digest.startswith(VALUES)


@dataclass(frozen=True, slots=True)
class Sample:
    """One independent example: a realization, an event, a time step, an image."""

    id: str
    group: str  # samples of one group are never split between folds
    fold: int  # where it is held out
    fields: dict[str, tuple[Part, ...]]  # "input", "target", and the baselines by name
    box_size: tuple[float, ...]  # [Mpc/h], one an axis
    redshift: float
    omega_m: float
    periodic: bool  # whether the box is continued by its images along every axis
    parameters: dict[str, float] = field(default_factory=dict)  # further numbers of the whole sample, by name
    wraps: tuple[bool, ...] = ()  # whether it is along each axis, where axes differ

    @property
    def around(self) -> tuple[bool, ...]:
        """Whether the box is continued by its images, one an axis."""
        return self.wraps or (self.periodic,) * len(self.box_size)

    def shape(self, field: str) -> tuple[int, ...]:
        """(channels, *space) of a field, channels summed over its parts."""
        parts = self.parts(field)
        return sum(part.shape[0] for part in parts), *parts[0].shape[1:]

    def quantities(self, field: str) -> tuple[tuple[str, int], ...]:
        """(quantity, channels) of each part of a field."""
        return tuple((part.quantity, part.shape[0]) for part in self.parts(field))

    @property
    def arrays(self) -> list[Part]:
        """All arrays on disk that the fields are made of, terms included."""
        return [one for parts in self.fields.values() for part in parts for one in (part, *part.terms)]

    def parts(self, field: str) -> tuple[Part, ...]:
        """The parts of a field; raises DataError when there is no such field."""
        if field not in self.fields:
            raise DataError(f"sample {self.id!r}: no field {field!r}; it has {', '.join(self.fields)}")
        return self.fields[field]


@dataclass(frozen=True)
class Catalogue:
    """All samples of a dataset, in natural order of their ids."""

    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", {sample.id: n for n, sample in enumerate(self.samples)})

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, name: str) -> Sample:
        if name not in self._places:
            raise DataError(f"sample {name!r}: not in the catalogue of {len(self)} samples")
        return self.samples[self._places[name]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self.samples == other.samples

    __hash__ = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that every sample has."""
        return tuple(self.samples[0].fields)

    @property
    def warnings(self) -> list[str]:
        """What is odd but allowed: copies within a fold, and files that end with zeros."""
        parts = [part for sample in self.samples for part in sample.arrays if part.zeros]
        return [*duplicates(self.samples), *map(_tail, parts)]

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return 1 + max(sample.fold for sample in self.samples)

    def training(self, fold: int) -> list[Sample]:
        """The samples that train when `fold` is held out."""
        return [sample for sample in self.samples if sample.fold != fold]

    def held_out(self, fold: int) -> list[Sample]:
        """The samples that judge `fold`."""
        return [sample for sample in self.samples if sample.fold == fold]

    @classmethod
    def read(cls, path: str | Path) -> "Catalogue":
        """The catalogue in a CSV file; DataError names the file and the line where it is damaged."""
        found = cls.read_part(path)
        if not found.samples:
            raise DataError(f"{printable(path)}: line 1: damaged (no samples); delete it")
        return found

    @classmethod
    def read_part(cls, path: str | Path) -> "Catalogue":
        """As `read`, of a part of the samples, in which there may be none."""
        with named(path, "catalogue"):
            text = Path(path).read_text(encoding="utf-8")
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            if tuple(next(rows)) not in (COLUMNS, (*COLUMNS, FACTOR)) or not text.endswith("\n"):
                raise ValueError("another header, or cut short")
            with _uncollected():
                return cls(tuple(_samples(rows)))
        except (ValueError, KeyError, StopIteration, csv.Error) as error:
            line = max(rows.line_num, 1)
            raise DataError(f"{printable(path)}: line {line}: damaged ({printable(str(error))}); delete it") from error

    def write(self, path: str | Path) -> None:
        """Publish the catalogue as CSV, one row a sample, field and part, every number exact.

        Only where arrays have factors or terms there is a last column, of the factor; that of a term begins with +.
        """
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        plain = all(part.factor == 1.0 and not part.terms for s in self.samples for part in s.arrays)
        writer.writerow(COLUMNS if plain else (*COLUMNS, FACTOR))
        writer.writerows(row[:-1] if plain else row for sample in self.samples for row in _rows(sample))
        write_text(path, stream.getvalue())


def natural(name: str) -> tuple:
    """Sort key: digits count as numbers, so that a-9 comes before a-10."""
    tokens = re.findall(r"[0-9]+|[^0-9]+", name)
    return *((0, int(token), "") if token.isdecimal() else (1, 0, token) for token in tokens), (-1, 0, name)


# ---- building


def build(
    samples: Iterable[Sample], folds: dict[str, int], on_nonfinite: str = "refuse", factor: int | None = None
) -> Catalogue:
    """The catalogue of a source's candidates: every file is read once, hashed and searched for NaN and Inf.

    Of those that are `inspected` already nothing is read.

    `folds`: sample id -> fold. `on_nonfinite`: "refuse" or "mask" (they are counted and allowed). `factor`: how many
    times finer the target is than the input, any whole number unless given. Raises DataError when files disagree with
    each other, when a value is not finite, or when two folds hold the same content.
    """
    samples = sorted(samples, key=lambda sample: natural(sample.id))
    check_samples(samples, factor)
    findings = _scan_all([sample for sample in samples if not _is_inspected(sample)])
    if on_nonfinite == "refuse":
        refuse_nonfinite(findings | _scan_all(_first_nonfinite(samples)))
    samples = [_held_out(_completed(sample, findings), folds) for sample in samples]
    duplicates(samples)
    return Catalogue(tuple(samples))


def inspected(samples: Iterable[Sample]) -> Catalogue:
    """A part of the candidates, which may be none, read once, hashed and searched for NaN and Inf; of unknown folds."""
    samples = sorted(samples, key=lambda sample: natural(sample.id))
    if samples:
        check_samples(samples)
    findings = _scan_all(samples)
    return Catalogue(tuple(_completed(sample, findings) for sample in samples))


def _is_inspected(sample: Sample) -> bool:
    return all(part.digest not in ("", VALUES) for part in sample.arrays)


def _first_nonfinite(samples: Iterable[Sample]) -> list[Sample]:
    """The first sample that was found to hold values that are not finite, if there is one."""
    bad = (s for s in samples if any(part.nonfinite for part in s.arrays))
    return list(itertools.islice(bad, 1))


def _tail(part: Part) -> str:
    fraction = 100 * part.zeros / math.prod(part.shape)
    return f"{printable(part.file)}: ends with {fraction:.0f} % zeros; was it written to its end?"


def _scan_all(samples: list[Sample]) -> dict[tuple[str, str], Finding]:
    wanted: dict[tuple[str, str], dict[str, Part]] = {}
    for part in (part for sample in samples for part in sample.arrays):
        wanted.setdefault((part.file, part.dataset if part.alone else ""), {})[part.dataset] = part
    size = sum(map(_cost, wanted.values()))
    threads = THREADS if size > WORTHWHILE * len(wanted) else 1
    with ThreadPoolExecutor(threads) as pool:
        found = (pool.map if threads > 1 else map)(_scan, wanted.values())
        return {(file, dataset): finding for file, findings in found for dataset, finding in findings.items()}


def _cost(parts: dict[str, Part]) -> int:
    """Bytes that are read for arrays of one file."""
    part = next(iter(parts.values()))
    return math.prod(part.shape) * np.dtype(part.dtype).itemsize if part.alone else part.size


def _scan(parts: dict[str, Part]) -> tuple[str, dict[str, Finding]]:
    """The file of these arrays, and what each of them holds."""
    first = next(iter(parts.values()))
    file = first.file
    found = headers(file, list(parts))
    for header, part in zip(found, parts.values(), strict=True):
        if not fits(header, part):
            raise DataError(f"{printable(file)}: changed while the catalogue was made")
    findings = [scan_values(file, *parts, found[0])] if first.alone else scan(file, list(parts), found)
    for finding, part in zip(findings, parts.values(), strict=True):
        if finding.first and len(finding.first) < len(part.shape):
            finding.first = (0, *finding.first)
    return file, dict(zip(parts, findings, strict=True))


def _held_out(sample: Sample, folds: dict[str, int]) -> Sample:
    if sample.id not in folds:
        raise DataError(f"sample {sample.id!r}: in no fold; expected a fold for every sample")
    return replace(sample, fold=folds[sample.id])


def _completed(sample: Sample, findings: dict) -> Sample:
    if _is_inspected(sample):
        return sample

    def complete(part: Part) -> Part:
        finding = findings[part.file, part.dataset]
        known = {"zeros": finding.tail if finding.suspicious else 0, "terms": tuple(map(complete, part.terms))}
        return replace(part, digest=finding.digest, nonfinite=finding.nonfinite, **known)

    done = {field: tuple(map(complete, parts)) for field, parts in sample.fields.items()}
    return replace(sample, fields=done)


# ---- rows


def _rows(sample: Sample) -> Iterator[tuple]:
    left = sample.id, sample.group, sample.fold
    box = " ".join(repr(float(length)) for length in sample.box_size)
    numbers = " ".join(f"{name}={float(value)!r}" for name, value in sample.parameters.items())
    walls = " ".join(str(int(flag)) for flag in sample.wraps or (sample.periodic,))
    right = box, repr(float(sample.redshift)), repr(float(sample.omega_m)), walls, numbers
    for name, parts in sample.fields.items():
        for p, sign in ((p, sign) for part in parts for p, sign in [(part, ""), *((t, "+") for t in part.terms)]):
            shape = "x".join(map(str, p.shape))
            content = p.size, p.digest, p.quantity, p.nonfinite, p.zeros
            yield *left, name, p.file, p.dataset, shape, p.dtype, *content, *right, f"{sign}{float(p.factor)!r}"


def _samples(rows: Iterator[list[str]]) -> Iterator[Sample]:
    """Rows of one id stand together and agree on everything that belongs to the sample."""
    seen: set[str] = set()
    head, parts, names = None, {}, None
    for row in rows:
        row, factor = (row[:-1], row[-1]) if len(row) > len(COLUMNS) else (row, "1.0")
        name, group, fold, field, file, dataset, shape, dtype, size, digest, quantity, nonfinite, zeros, *right = row
        field, dtype, quantity = map(sys.intern, (field, dtype, quantity))
        known = digest, quantity, int(nonfinite), int(zeros), float(factor.removeprefix("+"))
        part = Part(file, dataset, _shape(shape), dtype, int(size), *known)
        if head is not None and head[0] == name:
            if head != (name, group, fold, *right):
                raise ValueError(f"sample {name!r} contradicts itself")
            parts[field] = _joined(parts.get(field, ()), part, factor.startswith("+"))
            continue
        if head is not None:
            names = _same_fields(names, parts, head[0])
            yield _sample(head, parts)
        if name in seen:
            raise ValueError(f"sample {name!r} stands twice")
        seen.add(name)
        head, parts = (name, group, fold, *right), {field: (part,)}
    if head is not None:
        _same_fields(names, parts, head[0])
        yield _sample(head, parts)


def _joined(parts: tuple[Part, ...], part: Part, is_term: bool) -> tuple[Part, ...]:
    """The parts of a field with one more, or with one more term of the last."""
    if not is_term or not parts:
        return (*parts, part)
    return (*parts[:-1], replace(parts[-1], terms=(*parts[-1].terms, part)))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """The cyclic collector would walk all samples again and again, and double the time of reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _same_fields(names: list[str] | None, parts: dict, name: str) -> list[str]:
    if names is not None and names != list(parts):
        raise ValueError(f"sample {name!r} has other fields than those before")
    return list(parts)


def _sample(head: tuple[str, ...], parts: dict[str, tuple[Part, ...]]) -> Sample:
    name, group, fold, box_size, redshift, omega_m, periodic, numbers = head
    flags = tuple({"0": False, "1": True}[flag] for flag in periodic.split(" "))
    physics = _box(box_size), float(redshift), float(omega_m), all(flags), _numbers(numbers)
    return Sample(name, group, int(fold), parts, *physics, flags if len(flags) > 1 else ())


def _numbers(text: str) -> dict[str, float]:
    pairs = (pair.partition("=") for pair in text.split())
    return {name: float(value) for name, _, value in pairs}


@lru_cache(maxsize=4096)
def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


@lru_cache(maxsize=4096)
def _box(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(" ")))
