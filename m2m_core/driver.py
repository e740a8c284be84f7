"""The Snakemake that runs: one at a time on a folder of results; one that was killed is not waited for."""

import atexit
import contextlib
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import memory, provenance
from .lock import exclusive, last_owner, owner

__all__ = ["forget_killed", "own", "prepare", "remember"]

current: Any = None  # the workflow that this process read last
KEPT = contextlib.ExitStack()  # until this process ends
atexit.register(KEPT.close)


def own(results: str | Path) -> None:
    """Own `results` until this process ends; raises RunError if another Snakemake does, naming it."""
    KEPT.enter_context(exclusive(results))


def prepare(results: str | Path, notes: str | Path) -> list[str]:
    """Put Snakemake's folder `notes` in order before it is looked at; what a person should know about it."""
    lines = []
    if killed := forget_killed(results, Path(notes) / "locks"):
        lines.append(f"the locks of {killed}, which was killed, are removed")
    if memory.give_back(results, notes):
        lines.append(f"{notes} knew nothing of them; how they were made is read from {results}/memory")
    elif memory.forgotten(results, notes):
        known = f"{notes} and {results}/memory are gone"
        lines.append(f"warning: nobody knows how they were made ({known}): all are taken as they are; see make explain")
    return lines


def remember(results: str | Path, notes: str | Path, found: Iterable[Sequence[Any]]) -> None:
    """Note what the digests of this run stand for: modules of code, and the `found` files of each dataset."""
    memory.keep(results, notes)
    for digest, modules in provenance.SEEN.items():
        memory.remember(results, "code", digest, modules)
    for files in filter(None, found):
        memory.remember(results, "files", provenance.fingerprint(files), {path: rest for path, *rest in files})


def forget_killed(results: str | Path, locks: str | Path) -> str:
    """Remove Snakemake's own locks in the folder `locks` if they are those of a killed run on `results`.

    Snakemake's locks outlive it, the kernel's on `results` does not. Only a run of this machine is forgotten: the
    kernel of another one may not have told. Returns the name of the killed process, empty if nothing was removed.
    """
    left = [path for path in Path(locks).glob("*.lock") if _names_a_file_in(path, results)]
    last = last_owner(results)
    if not left or not last.endswith(f" on {socket.gethostname()}") or owner(results):
        return ""
    for path in left:
        path.unlink(missing_ok=True)
    return last


def _names_a_file_in(lock: Path, results: str | Path) -> bool:
    with contextlib.suppress(OSError), open(lock) as lines:
        return any(line.startswith(f"{results}/") for line in lines)
    return False
