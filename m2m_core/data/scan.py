"""One streaming read of a file for what must be known of its content: sha256, non-finite values, zero tails."""

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .readers import Array, Header, named, open_array

__all__ = ["VALUES", "Finding", "scan", "scan_values", "tiles"]

BUFFER = 2**20  # bytes read and hashed at a time
VALUES = "values:"  # begins a digest that is not of a whole file
TAIL = 4096  # bytes: a block of zeros that a crash may leave at the end of a file
HIGHEST = float(np.finfo("f4").max)


@dataclass
class Finding:
    """What one array holds; `first` is the index of the first value that is not finite."""

    header: Header
    digest: str = ""
    nonfinite: int = 0
    first: tuple[int, ...] = ()
    tail: int = 0  # values at the end that are all zero
    seen: int = field(default=0, repr=False)

    @property
    def suspicious(self) -> bool:
        """Whether the tail is as long as what a crash of a node leaves."""
        return self.tail * np.dtype(self.header.dtype).itemsize >= TAIL

    def add(self, block: np.ndarray) -> None:
        """Take in the next values in the order of the file."""
        if block.dtype.kind == "f" and not _finite(block):
            bad = np.flatnonzero(~_within(block))
            if not self.nonfinite and len(bad):
                index = np.unravel_index(self.seen + bad[0], self.header.shape, order=self.header.order)
                self.first = tuple(map(int, index))
            self.nonfinite += len(bad)
        self.seen += len(block)
        self._extend_tail(block)

    def _extend_tail(self, block: np.ndarray) -> None:
        if block[-1] != 0:
            self.tail = 0
            return
        filled = np.flatnonzero(block)
        self.tail = len(block) - 1 - int(filled[-1]) if len(filled) else self.tail + len(block)


def scan(path: str, datasets: Sequence[str], headers: Sequence[Header]) -> list[Finding]:
    """A finding for each array of the file; arrays that stand in one piece are searched while the file is hashed."""
    findings = [Finding(header) for header in headers]
    order = sorted((f for f in findings if f.header.offset is not None), key=lambda f: f.header.offset)
    done = []
    with named(path), open(path, "rb", buffering=0) as stream:
        sha = hashlib.sha256()
        buffer = memoryview(bytearray(min(BUFFER, headers[0].size)))
        for finding in order:
            if finding.header.offset < stream.tell():
                continue  # two names for the same values
            for _ in _blocks(stream, sha, finding.header.offset - stream.tell(), buffer):
                pass
            for block in _blocks(stream, sha, finding.header.nbytes, buffer):
                finding.add(np.frombuffer(block, finding.header.dtype))
            done.append(finding)
        for _ in _blocks(stream, sha, None, buffer):
            pass
    for dataset, finding in zip(datasets, findings, strict=True):
        finding.digest = sha.hexdigest()
        if not any(finding is other for other in done):
            _search(open_array(path, dataset), finding)
    return findings


def scan_values(path: str, dataset: str, header: Header) -> Finding:
    """A finding of one of the many arrays of a file, of which nothing else is read.

    Its digest begins with VALUES; it is of the values in the order of C, chunks and compression have no say in it.
    """
    finding, sha = Finding(header), hashlib.sha256()
    if header.offset is None:
        array = open_array(path, dataset)
        chunk = (getattr(array, "chunks", None) or header.shape)[0]
        rows = chunk * max(1, BUFFER // (chunk * math.prod(header.shape[1:])))
        for start in range(0, header.shape[0], rows):
            block = np.ascontiguousarray(array[start : start + rows]).reshape(-1)
            sha.update(block)
            finding.add(block)
    else:
        with named(path), open(path, "rb", buffering=0) as stream:
            stream.seek(header.offset)
            for values in _blocks(stream, sha, header.nbytes, memoryview(bytearray(min(BUFFER, header.nbytes)))):
                finding.add(np.frombuffer(values, header.dtype))
    finding.digest = VALUES + sha.hexdigest()
    return finding


def _blocks(stream: io.RawIOBase, sha: "hashlib._Hash", count: int | None, buffer: memoryview) -> Iterator[memoryview]:
    """Read and hash `count` bytes, or all that are left; a block is whole but for the last one."""
    while count is None or count > 0:
        room = buffer if count is None else buffer[: min(count, len(buffer))]
        got = 0
        while got < len(room) and (n := stream.readinto(room[got:])):
            got += n
        sha.update(room[:got])
        if got:
            yield room[:got]
        if got < len(room):
            if count is not None:
                raise EOFError("the file became shorter while it was read")
            return
        count = None if count is None else count - got


def _search(array: Array, finding: Finding) -> None:
    shape = finding.header.shape
    for place in tiles(shape, getattr(array, "chunks", None) or (1,) * len(shape), BUFFER):
        block = np.asarray(array[place])
        nonfinite, first = finding.nonfinite, finding.first
        finding.add(block.reshape(-1))
        if finding.nonfinite and not nonfinite:
            inside = np.unravel_index(int(np.flatnonzero(~_within(block.reshape(-1)))[0]), block.shape)
            first = tuple(int(i) + s.start for i, s in zip(inside, place, strict=True))
        finding.first = first


def tiles(shape: Sequence[int], chunks: Sequence[int], limit: int) -> Iterator[tuple[slice, ...]]:
    """Cover an array in the order of C by whole multiples of `chunks` of about `limit` values, last axes first."""
    size = list(chunks)
    for axis in reversed(range(len(shape))):
        rest = math.prod(size) // size[axis]
        size[axis] *= max(1, min(-(-shape[axis] // size[axis]), limit // max(1, rest * size[axis])))
    for index in np.ndindex(*(-(-n // s) for n, s in zip(shape, size, strict=True))):
        yield tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, size, shape, strict=True))


def _finite(block: np.ndarray) -> bool:
    return -HIGHEST <= float(block.min()) and float(block.max()) <= HIGHEST


def _within(block: np.ndarray) -> np.ndarray:
    if block.dtype.itemsize <= 4:
        return np.isfinite(block)
    with np.errstate(invalid="ignore"):
        return np.abs(block) <= HIGHEST
