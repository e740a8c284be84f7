"""A first look at HDF5 files in a child process: on some damaged files the library crashes or never returns."""

import contextlib
import faulthandler
import os
import resource
import select
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from ...errors import DataError
from . import attributes, headers, open_array, printable

__all__ = ["probe"]

PATIENCE = 30.0  # seconds for one file, also on a busy file server


def probe(files: Mapping[str, Sequence[str]]) -> None:
    """DataError naming the file, of file -> datasets, whose header, attributes or first value crash HDF5 or never come.

    All other faults are left to the reader. Files of the old format and texts of variable length have no checksums.
    """
    names = list(files)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _look(files, writer)
    os.close(writer)
    try:
        seen, ended = _count(reader, len(names))
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if seen < len(names):
        what = "HDF5 crashes on it" if ended else f"HDF5 does not end reading it within {PATIENCE:.0f} s"
        raise DataError(f"{printable(names[seen])}: damaged: {what}; expected a sound file: copy or make it again")


def _count(reader: int, expected: int) -> tuple[int, bool]:
    """How many files the child has seen, and whether it ended."""
    seen = 0
    while seen < expected:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        news = os.read(reader, 2**16) if ready else b""
        if not news:
            return seen, bool(ready)
        seen += len(news)
    return seen, True


def _touch(file: str, datasets: Sequence[str]) -> None:
    for header, dataset in zip(headers(file, datasets), datasets, strict=True):
        if header.offset is None:  # one value takes a whole chunk through its filters
            open_array(file, dataset)[(0,) * len(header.shape)]
    attributes(file, datasets)


def _look(files: Mapping[str, Sequence[str]], writer: int) -> NoReturn:
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for file, datasets in files.items():
            with contextlib.suppress(DataError):
                _touch(file, datasets)
            os.write(writer, b".")
    finally:
        os._exit(0)
