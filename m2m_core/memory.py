"""What results remember of how they were made, so that they do not depend on the folder `.snakemake` beside them.

`<results>/memory` holds a copy of Snakemake's notes (`metadata`, one file an output), and what a digest in these notes
stands for: modules of code (`code`), names, sizes and dates of found files (`files`).
"""

import contextlib
import json
import os
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .files import write_json

__all__ = ["forgotten", "give_back", "keep", "recall", "remember"]

MEMORY = "memory"  # below the results folder
NOTES = "metadata"  # below Snakemake's folder, and in the memory
MADE = ("datasets", "experiments", "report.html")


def keep(results: str | Path, snakemake_folder: str | Path) -> None:
    """Copy the notes on `results` that are new: names and dates of all are looked at, time grows with their number."""
    for name, note in _notes(results, Path(snakemake_folder) / NOTES):
        copy = Path(results) / MEMORY / NOTES / name
        if not _is_copy(copy, note):
            with contextlib.suppress(OSError):  # a note that is lost costs an explanation, not a result
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(note, copy)


def give_back(results: str | Path, snakemake_folder: str | Path) -> bool:
    """If Snakemake has no notes on `results` at all, give it the copies; whether it was so.

    All or none: a single note that is missing was removed on purpose, with --cleanup-metadata.
    """
    copies = Path(results) / MEMORY / NOTES
    if not copies.is_dir() or _knows(results, snakemake_folder):
        return False
    with contextlib.suppress(OSError):
        shutil.copytree(copies, Path(snakemake_folder) / NOTES, dirs_exist_ok=True)
        (Path(snakemake_folder) / "incomplete").mkdir(exist_ok=True)  # without it, Snakemake takes the notes for old
    return True


def forgotten(results: str | Path, snakemake_folder: str | Path) -> bool:
    """Whether there are results but no notes on any of them: then no edit can make them stale."""
    made = any((Path(results) / name).exists() for name in MADE)
    return made and not _knows(results, snakemake_folder)


def remember(results: str | Path, kind: str, digest: str, parts: Mapping[str, Any]) -> None:
    """Write what `digest` stands for, once."""
    path = _path(results, kind, digest)
    if not path.exists():
        write_json(path, parts)


def recall(results: str | Path, kind: str, digest: str) -> dict[str, Any]:
    """What `digest` stands for, empty if nobody remembers."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(parts := json.loads(_path(results, kind, digest).read_text(encoding="utf-8")), dict):
            return parts
    return {}


def _path(results: str | Path, kind: str, digest: str) -> Path:
    return Path(results) / MEMORY / kind / f"{digest}.json"


def _knows(results: str | Path, snakemake_folder: str | Path) -> bool:
    return next(_notes(results, Path(snakemake_folder) / NOTES), None) is not None


def _notes(results: str | Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of every note on a file below `results`: its name is the file's in base 64, in pieces if long."""
    for place, _, names in os.walk(folder):
        for name in names:
            relative = (Path(place) / name).relative_to(folder)
            if _file("".join(part.removeprefix("@") for part in relative.parts)).startswith(f"{results}/"):
                yield str(relative), folder / relative


def _file(name: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsafe_b64decode(name).decode()
    return ""


def _is_copy(copy: Path, note: Path) -> bool:
    with contextlib.suppress(OSError):
        ours, theirs = copy.stat(), note.stat()
        return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)
    return False
