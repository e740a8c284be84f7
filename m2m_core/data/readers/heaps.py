"""HDF5 keeps texts of variable length in heaps without checksum, and reads a damaged one forever: check them first."""

import mmap
import struct

from ...errors import DataError
from . import named, printable

__all__ = ["check_heaps"]

SIGNATURE = b"GCOL\x01\0\0\0"  # global heap collection, version 1 (HDF5 file format specification, III.E)
HEADER = 16  # bytes of the head of a collection, and of each object in it


def check_heaps(path: str) -> None:
    """DataError when the objects of a global heap do not fill it one after the other."""
    with named(path), open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(SIGNATURE)
        while start >= 0:
            if not _sound(data, start):
                raise DataError(f"{printable(path)}: damaged: the texts of its attributes are not readable")
            start = data.find(SIGNATURE, start + len(SIGNATURE))


def _sound(data: mmap.mmap, start: int) -> bool:
    if start + HEADER > len(data):
        return False
    end = start + struct.unpack_from("<Q", data, start + 8)[0]
    place = start + HEADER
    if not place <= end <= len(data):
        return False
    while place + HEADER <= end:
        index, size = struct.unpack_from("<H6xQ", data, place)
        place += HEADER + -(-size // 8) * 8 if index else size  # object 0 is the free space, with its head
        if place > end or (not index and size < HEADER):
            return False
    return True
