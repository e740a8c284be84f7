"""The list of all files of an archive with their sha256, in the format of `sha256sum`."""

import re
from pathlib import Path

from ..errors import DataError, RunError
from ..files import digest

__all__ = ["MANIFEST", "verify"]

MANIFEST = "MANIFEST.sha256"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def verify(folder: str | Path) -> int:
    """Compare every file of an unpacked archive with the manifest; returns how many there are.

    Raises DataError naming the first that is missing or damaged, RunError where no archive was unpacked.
    """
    listed = _read(Path(folder, MANIFEST))
    for name, expected in listed.items():
        path = Path(folder, name)
        if not path.is_file():
            raise DataError(f"{name}: missing; unpack the archive again")
        if (found := digest(path)) != expected:
            raise DataError(f"{name}: damaged: sha256 {found[:12]}, {expected[:12]} expected; unpack the archive again")
    return len(listed)


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise RunError(f"{MANIFEST}: not here; run this in the folder of an unpacked archive")
    lines = [LINE.fullmatch(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    if not lines or not all(lines):
        raise DataError(f"{MANIFEST}: damaged; unpack the archive again")
    return {match[2]: match[1] for match in lines if match}
