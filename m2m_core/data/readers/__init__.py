"""The only door to array files: one reader a format, by suffix; every refusal is a DataError naming the file."""

import contextlib
import errno
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ... import registry
from ...errors import DataError

__all__ = [
    "Array", "Header", "accept", "array_names", "attributes", "file_size", "header", "headers", "named", "open_array",
    "printable", "suffixes",
]  # fmt: skip

ACCEPTED = "float16, float32, float64, int8 to int64, uint8 to uint64"
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Header:
    """What a file says about one of its arrays, checked against the size of the file."""

    shape: tuple[int, ...]  # (channels, *space)
    dtype: str  # numpy dtype.str
    offset: int | None  # first byte of the values; None: not in one piece (chunks, compression)
    size: int  # bytes of the whole file
    order: str = "C"

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Array(Protocol):
    """An array on disk: basic slices of it are read when asked for."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, key: Any) -> np.ndarray: ...


def header(path: str | Path, dataset: str = "") -> Header:
    """Shape (channels, *space), dtype and place of one array, without reading its values."""
    return headers(path, [dataset])[0]


def headers(path: str | Path, datasets: Sequence[str]) -> list[Header]:
    """The headers of several arrays of one file, which is opened once."""
    return _reader(path).headers(str(path), list(datasets))


def attributes(path: str | Path, datasets: Sequence[str], words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What the file says about the physics of its arrays: box_size, redshift, omega_m, periodic, quantity, or less.

    words: further attributes to look for, of formats that have any
    """
    more = (list(words),) if words else ()
    return _reader(path).attributes(str(path), list(datasets), *more)


def open_array(path: str | Path, dataset: str = "") -> Array:
    """The array itself, (channels, *space) in the dtype of the file; nothing is read until it is sliced."""
    return _reader(path).open(str(path), dataset)


def array_names(path: str | Path) -> list[str]:
    """The names of all arrays in a file that may hold several; of any other the one name that it has."""
    reader = _reader(path)
    return reader.names(str(path)) if hasattr(reader, "names") else [""]


def suffixes() -> dict[str, str]:
    """File name suffix -> name of the reader, for all readers and plugins."""
    return dict(_suffixes(tuple(registry.PLUGINS)))


def _reader(path: str | Path) -> Any:
    suffix = os.path.splitext(path)[1].lower()
    known = _suffixes(tuple(registry.PLUGINS))
    if suffix not in known:
        raise DataError(f"{printable(path)}: no reader for {suffix!r}; expected one of {', '.join(sorted(known))}")
    return _load(known[suffix], tuple(registry.PLUGINS))


@lru_cache(maxsize=8)
def _suffixes(plugins: tuple[str, ...]) -> dict[str, str]:
    return {suffix: name for name in registry.entries("reader") for suffix in _load(name, plugins).suffixes}


@lru_cache(maxsize=64)
def _load(name: str, plugins: tuple[str, ...]) -> Any:
    return registry.load("reader", name)


# ---- checks that every format needs


def printable(path: str | Path) -> str:
    """The path on one line, with control characters escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def file_size(path: str | Path) -> int:
    """Bytes of a regular file that is not empty; it is not opened, so nothing can hang."""
    with named(path):
        status = os.stat(path)
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise DataError(f"{printable(path)}: {KINDS.get(kind, 'a special file')}; expected a regular file")
    if status.st_size == 0:
        raise DataError(f"{printable(path)}: the file is empty")
    return status.st_size


def accept(path: str | Path, shape: Sequence[int], dtype: np.dtype) -> None:
    """Refuse what cannot be a field: object, text, complex or structured values, no axes, an axis of length zero."""
    where = printable(path)
    if dtype.hasobject:
        raise DataError(f"{where}: object arrays are refused; expected {ACCEPTED}")
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise DataError(f"{where}: dtype {printable(str(dtype))[:60]} is refused; expected {ACCEPTED}")
    if not 2 <= len(shape) <= 4:
        raise DataError(f"{where}: shape {tuple(shape)}; expected (channels, *space) with 1 to 3 axes of space")
    if min(shape) < 1:
        raise DataError(f"{where}: shape {tuple(shape)}; expected every axis to hold at least one value")


@contextlib.contextmanager
def named(path: str | Path, what: str = "file") -> Iterator[None]:
    """Turn whatever goes wrong inside into one DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # numpy and h5py leak tokenize, ast, decoding and unnamed errors on damaged files
        raise DataError(f"{printable(path)}: {_reason(path, what, error)}") from error


def _reason(path: str | Path, what: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError) or number == errno.ENOENT:
        return "a symbolic link to nothing" if os.path.islink(path) else "no such file"
    if isinstance(error, PermissionError) or number in (errno.EACCES, errno.EPERM):
        return "permission denied"
    if number == errno.ELOOP:
        return "symbolic links that lead in a circle"
    if isinstance(error, BlockingIOError) or "already open for" in text or "unable to lock" in text:
        return "open for writing in another process, or left so by one that died (then: h5clear -s)"
    return f"not a readable {what} ({type(error).__name__}: {text[:160]})"
