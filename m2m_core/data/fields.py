"""Reading samples: whole fields and crops of them as float32, through memory maps that stay open."""

import itertools
import os
import resource
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..errors import DataError
from ..files import digest
from .arrays import opened
from .catalogue import Part, Sample
from .readers import Array, header, named, printable
from .scan import VALUES, scan_values

__all__ = ["Fields", "verify"]


class Fields:
    """A reader of samples that keeps at most `limit` files open, in each process its own.

    Every file is checked against the catalogue when it is opened; values are cast to float32 once. With `mask`,
    values that are not finite are left in place; without it they raise DataError.
    """

    def __init__(self, limit: int = 64, mask: bool = False) -> None:
        self.limit = max(1, min(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self.mask = mask
        self.open: OrderedDict[tuple[str, str], Array] = OrderedDict()
        self.process = os.getpid()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"open": OrderedDict()}

    def whole(self, sample: Sample, field: str) -> np.ndarray:
        """A copy of the whole field, (C, *space) float32."""
        shape = sample.shape(field)
        return self.block(sample, field, (0,) * (len(shape) - 1), shape[1:])

    def block(
        self, sample: Sample, field: str, start: Sequence[int], shape: Sequence[int], out: np.ndarray | None = None
    ) -> np.ndarray:
        """The crop from `start` of `shape`, as (C, *shape) float32, written into `out` if given.

        It may begin before the box or end behind it, which along a periodic axis is continued by its images, along any
        other by zeros.
        """
        parts = sample.parts(field)
        if out is None:
            out = np.empty((sum(part.shape[0] for part in parts), *shape), "f4")
        cuts = [_cuts(*axis) for axis in zip(start, shape, parts[0].shape[1:], sample.around, strict=True)]
        if not sample.periodic:
            _clear(out, cuts)
        channel = 0
        for part in parts:
            end = channel + part.shape[0]
            self._fill(out[channel:end], part, cuts)
            channel = end
        return out

    def verify(self, sample: Sample) -> None:
        """Hash all files of a sample again; DataError names the one that is no longer what it was."""
        _verify(sample.arrays)

    def _fill(self, out: np.ndarray, part: Part, cuts: Sequence[Sequence[tuple[slice, slice]]]) -> None:
        values = self._map(part)
        with np.errstate(over="ignore", invalid="ignore"):
            for pairs in itertools.product(*cuts):
                out[:, *(to for to, _ in pairs)] = values[:, *(of for _, of in pairs)]
        nonfinite = part.nonfinite or any(term.nonfinite for term in part.terms)
        unchecked = nonfinite or values.dtype.kind == "f" and values.dtype.itemsize > 4
        if unchecked and not self.mask and not np.isfinite(out).all():
            count = out.size - np.count_nonzero(np.isfinite(out))
            raise DataError(f"{printable(part.file)}: {count} values are not finite as float32; see on_nonfinite")

    def _map(self, part: Part) -> Array:
        if self.process != os.getpid():  # after a fork: handles belong to the parent
            self.open, self.process = OrderedDict(), os.getpid()
        derived = part.factor != 1.0 or part.terms
        key = part.file, str(part) if derived else part.dataset
        if key in self.open:
            self.open.move_to_end(key)
            return self.open[key]
        while len(self.open) >= self.limit:
            self.open.popitem(last=False)
        self.open[key] = values = opened(part)
        return values


def verify(samples: Iterable[Sample], policy: str) -> None:
    """Hash every file of `samples` again when the dataset's `verify` is "full"; raises DataError on a difference."""
    if policy == "full":
        _verify(part for sample in samples for part in sample.arrays)


def _verify(parts: Iterable[Part]) -> None:
    """Each file once, however many arrays it holds; of one that holds many samples these alone."""
    for part in {(part.file, part.dataset if part.alone else ""): part for part in parts}.values():
        with named(part.file):
            now = _values(part) if part.alone else digest(part.file)
        if now != part.digest:
            file = f"{printable(part.file)}: {part.dataset!r} is" if part.alone else f"{printable(part.file)}:"
            then, now = (text.removeprefix(VALUES)[:12] for text in (part.digest, now))
            raise DataError(f"{file} damaged: sha256 {now}, {then} expected")


def _values(part: Part) -> str:
    return scan_values(part.file, part.dataset, header(part.file, part.dataset)).digest


def _cuts(start: int, length: int, period: int, periodic: bool) -> list[tuple[slice, slice]]:
    """(where to, where from) for the pieces of [start, start + length) along one axis."""
    if periodic:
        return list(_wrapped(start % period, length, period))
    first, last = max(start, 0), min(start + length, period)
    return [(slice(first - start, last - start), slice(first, last))] if first < last else []


def _wrapped(start: int, length: int, period: int) -> Iterator[tuple[slice, slice]]:
    done = 0
    while done < length:
        step = min(period - start, length - done)
        yield slice(done, done + step), slice(start, start + step)
        done, start = done + step, 0


def _clear(out: np.ndarray, cuts: Sequence[Sequence[tuple[slice, slice]]]) -> None:
    inside = all(axis and axis[0][0] == slice(0, n) for axis, n in zip(cuts, out.shape[1:], strict=True))
    if not inside:
        out[...] = 0
