"""Reader of NumPy's .npy files, any byte order, C or Fortran order, by memory map."""

import io
import math
import os
import struct
from functools import lru_cache

import numpy as np
from numpy.lib import format as npy_format

from ...errors import DataError
from ...registry import register
from . import Header, accept, file_size, named, printable

__all__ = ["Npy"]

LONGEST = 10_000  # bytes of a header; numpy's own limit against a costly parse


@register("reader", "npy")
class Npy:
    """One array a file, `.npy` of version 1 to 3."""

    suffixes = (".npy",)

    @staticmethod
    def headers(path: str, datasets: list[str]) -> list[Header]:
        """The one header, checked: the file holds exactly the bytes that it claims."""
        size = file_size(path)
        if any(datasets):
            raise DataError(f"{printable(path)}: a .npy file has no dataset {next(filter(None, datasets))!r} inside")
        with named(path, ".npy array"):
            shape, order, dtype, offset = _parse(path)
        accept(path, shape, dtype)
        expected = offset + math.prod(shape) * dtype.itemsize
        if size != expected:
            what = "cut short" if size < expected else "followed by other bytes"
            raise DataError(f"{printable(path)}: {what}: {size} bytes found, {expected} expected by its header")
        return [Header(shape, dtype.str, offset, size, order)] * len(datasets)

    @staticmethod
    def attributes(path: str, datasets: list[str]) -> list[dict]:
        """Nothing: a .npy file holds numbers alone."""
        return [{} for _ in datasets]

    @staticmethod
    def open(path: str, dataset: str = "") -> np.ndarray:
        """The memory map (channels, *space) in the dtype of the file."""
        return mapped(path, Npy.headers(path, [dataset])[0])


def mapped(path: str, header: Header) -> np.ndarray:
    """The values of a file that stand in one piece, as a read-only map."""
    with named(path):
        values = np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
    return values.view(np.ndarray)  # the subclass makes every slice slower


def _parse(path: str) -> tuple[tuple[int, ...], str, np.dtype, int]:
    with open(path, "rb") as stream:
        start = stream.read(8)
        if start[:4] == b"PK\x03\x04":
            raise DataError(f"{printable(path)}: an .npz archive of several arrays; expected one .npy array")
        version = npy_format.read_magic(io.BytesIO(start))
        form = "<H" if version[0] == 1 else "<I"
        length = struct.unpack(form, stream.read(struct.calcsize(form)))[0]
        if version > (3, 0) or length > LONGEST:
            raise ValueError(f"header of version {version} and {length} bytes")
        text = stream.read(length)
        if len(text) < length:
            size = os.fstat(stream.fileno()).st_size
            raise DataError(f"{printable(path)}: cut short: {size} bytes found, more than {length} expected")
        return *_describe(form, text), stream.tell()


@lru_cache(maxsize=256)
def _describe(form: str, text: bytes) -> tuple[tuple[int, ...], str, np.dtype]:
    """Parsing costs more than reading, and the files of a dataset mostly share one header."""
    stream = io.BytesIO(struct.pack(form, len(text)) + text)
    read = npy_format.read_array_header_1_0 if form == "<H" else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return tuple(int(n) for n in shape), "F" if fortran else "C", dtype
