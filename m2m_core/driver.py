"""The Snakemake that runs: one at a time on a folder of results; one that was killed is not waited for."""

import atexit
import contextlib
import socket
from pathlib import Path

from .lock import exclusive, last_owner, owner

__all__ = ["forget_killed", "own"]

KEPT = contextlib.ExitStack()  # until this process ends
atexit.register(KEPT.close)


def own(results: str | Path) -> None:
    """Own `results` until this process ends; raises RunError if another Snakemake does, naming it."""
    KEPT.enter_context(exclusive(results))


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
