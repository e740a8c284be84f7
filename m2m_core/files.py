"""Whole files or none: every write lands under a temporary name and is renamed when it is safe on disk."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import RunError

__all__ = ["digest", "exclusive", "replaced", "write_json", "write_text", "write_whole"]

FULL = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota exceeded", errno.EFBIG: "file size limit reached"}


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it to `path`.

    On any failure the earlier file stays byte for byte and the temporary one is removed.
    Raises RunError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        reason = FULL.get(error.errno, os.strerror(error.errno).lower())
        raise RunError(f"{path}: cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Call `write(stream)` and publish its bytes at `path` in one step."""
    with replaced(path) as temporary, open(temporary, "wb") as stream:
        write(stream)


def write_text(path: str | Path, text: str) -> None:
    """Publish `text` as UTF-8 at `path` in one step."""
    write_whole(path, lambda stream: stream.write(text.encode()))


def write_json(path: str | Path, value: Any) -> None:
    """Publish `value` as sorted JSON at `path`; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def digest(path: str | Path) -> str:
    """The sha256 of a file's bytes, as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive(directory: str | Path) -> Iterator[Path]:
    """Own `directory` while the block runs: a second owner is refused, the kernel forgets a dead one.

    Leftover temporary files of a killed owner are removed under the lock.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{directory}: another process is training here; wait for it or stop it") from None
        for leftover in directory.glob(".*.tmp"):
            leftover.unlink()
        yield directory


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
