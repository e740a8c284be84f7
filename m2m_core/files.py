"""Whole files or none: every write lands under a temporary name and is renamed when it is safe on disk."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import RunError

__all__ = [
    "check_folder",
    "digest",
    "forget_incomplete",
    "replaced",
    "write_contents",
    "write_json",
    "write_text",
    "write_whole",
    "written",
]

FULL = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota exceeded", errno.EFBIG: "file size limit reached"}
FEW = 1000  # entries of a folder that are looked through for leftovers


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it to `path`.

    On any failure the earlier file stays byte for byte and the temporary one is removed; what a killed process left is
    removed by the next writer. Raises RunError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_leftovers(path)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, *map(str, (temporary, path, *path.parents))):
            raise  # about another file
        reason = FULL.get(error.errno, os.strerror(error.errno).lower())
        raise RunError(f"{path}: cannot be written: {reason}; any earlier file is kept") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _forget_leftovers(path: Path) -> None:
    """Remove the temporary files of dead writers of `path`, in folders small enough to look through each time."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    with os.scandir(path.parent) as entries:
        found = [(entry, match) for entry in itertools.islice(entries, FEW) if (match := pattern.fullmatch(entry.name))]
    for entry, match in found:
        if not _runs(int(match[1])):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of somebody else
        return True
    return True


def write_whole(path: str | Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Call `write(stream)` and publish its bytes at `path` in one step."""
    with replaced(path) as temporary, open(temporary, "wb") as stream:
        write(stream)


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[IO[str]]:
    """A stream of text, whose lines end as they are written; it is published at `path` when the block ends well."""
    with replaced(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        yield stream


def write_text(path: str | Path, text: str) -> None:
    """Publish `text` as UTF-8 at `path` in one step."""
    write_whole(path, lambda stream: stream.write(text.encode()))


def write_json(path: str | Path, value: Any) -> None:
    """Publish `value` as sorted JSON at `path`; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_contents(path: str | Path, folder: str | Path) -> None:
    """Publish at `path` what lies below `folder`: relative path of each file -> bytes."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    write_json(path, {str(file.relative_to(folder)): file.stat().st_size for file in files})


def forget_incomplete(path: str | Path, folder: str | Path) -> str:
    """Remove the list at `path`, see `write_contents`, if not all of its files lie below `folder` as it says.

    Returns the first that is gone or of another size, empty if none is: one look at each.
    """
    try:
        known = json.loads(Path(path).read_text(encoding="utf-8")).items()
        lost = next((name for name, size in known if not _has(Path(folder) / name, size)), "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError):
        lost = Path(path).name
    if lost:
        Path(path).unlink(missing_ok=True)
    return lost


def _has(path: Path, size: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size == size
    return False


def digest(path: str | Path) -> str:
    """The sha256 of a file's bytes, as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_folder(path: str | Path) -> None:
    """Raise RunError unless `path` is a folder that can be written to, or can be made one."""
    path = Path(path)
    nearest = next(folder for folder in [path, *path.absolute().parents] if os.path.lexists(folder))
    if not nearest.is_dir():
        raise RunError(f"{path}: {nearest} is not a folder; expected one, or nothing there")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RunError(f"{path}: {nearest} cannot be written to; expected a folder of yours")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
