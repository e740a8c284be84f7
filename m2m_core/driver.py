"""The Snakemake that runs: one at a time on a folder of results; one that was killed is not waited for."""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import memory, provenance
from .files import write_json
from .lock import exclusive, last_owner, owner

__all__ = ["forget_killed", "own", "prepare", "remember", "take_over"]

current: Any = None  # the workflow that this process read last
RUNS = "logs/slurm_runs.json"  # below the results folder: the names of the jobs of each run that used Slurm
TIMEOUT = 60.0  # seconds for the scheduler to answer
KEPT = contextlib.ExitStack()  # until this process ends
atexit.register(KEPT.close)


def own(results: str | Path) -> None:
    """Own `results` until this process ends; raises RunError if another Snakemake does, naming it."""
    KEPT.enter_context(exclusive(results, lambda text: print(text, file=sys.stderr)))


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


class QueuedJob(NamedTuple):
    """What Slurm says of a job: its number, state, the run that it belongs to, and its rule with its wildcards."""

    id: str
    state: str
    run: str
    rule: str

    @property
    def trains(self) -> bool:
        """Whether it is a training at work, whose steps are worth keeping."""
        return self.state == "RUNNING" and self.rule.startswith("rule_training")


def take_over(results: str | Path, run: str | None) -> Iterator[str]:
    """Settle what a killed Snakemake left in the queue of Slurm, and note the name of this run; yields what was done.

    Its jobs would write what the jobs of this run write, so they are cancelled; trainings at work go on, and the
    training jobs of this run wait for them.
    """
    path = Path(results) / RUNS
    earlier = _noted(path)
    left = [job for job in _queue() if job.run in earlier] if earlier else []
    if idle := [job.id for job in left if not job.trains]:
        _slurm("scancel", *idle)
        yield f"jobs {', '.join(idle)} of an earlier run, which was killed, are cancelled"
    for job in left:
        if job.trains:
            yield f"job {job.id} of an earlier run, which was killed, goes on training: it is waited for"
    known = [*dict.fromkeys(job.run for job in left if job.trains), *([run] if run else [])]
    if known or earlier:
        write_json(path, known)


def _noted(path: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        return [str(run) for run in json.loads(path.read_text())]
    return []


def _queue() -> Iterable[QueuedJob]:
    lines = _slurm("squeue", "-h", "-u", str(os.getuid()), "-o", "%i|%T|%j|%k").splitlines()
    return [QueuedJob(*line.split("|", 3)) for line in lines if line.count("|") >= 3]


def _slurm(*command: str) -> str:
    """What a command of Slurm prints, nothing where there is no Slurm or it does not answer."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT).stdout
    return ""
