"""What a scheduler does to a training: time limits that are asked again, and starts that lead nowhere."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ..errors import RunError, Stopped
from ..files import write_json
from .signals import unstoppable

__all__ = ["again_at_the_time_limit", "asked", "fruitful"]

FRUITLESS = 2  # starts in a row without one completed step that are borne
MARGIN = 600.0  # seconds before its end in which a job that is asked to stop meets its time limit
TIMEOUT = 30.0  # seconds for the scheduler to answer


@contextlib.contextmanager
def fruitful(folder: Path) -> Iterator[Callable[[], None]]:
    """Count this start until the block calls what it is given, at its first completed step, or ends by itself.

    Raises RunError at the third start in a row of which none completed a step: each was killed before.
    """
    path = folder / "starts.json"
    count = _count(path) + 1
    if count > FRUITLESS:
        path.unlink()
        text = f"no step was completed in {FRUITLESS} starts, each was killed before"
        raise RunError(f"{folder}: {text}; give the job more time (runtime) or memory (mem_mb), then run again")
    write_json(path, {"starts": count})
    try:
        yield cache(lambda: path.unlink(missing_ok=True))
    except Stopped:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _count(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(path.read_text())["starts"])
    return 0


@contextlib.contextmanager
def again_at_the_time_limit(say: Callable[[str], None]) -> Iterator[None]:
    """Ask Slurm to run this job again when it is stopped because its time is up, so that no retry is used for it.

    Cancelled and preempted jobs are left to Slurm, and so is everything that is no Slurm job.
    """
    try:
        yield
    except Stopped:
        job = os.environ.get("SLURM_JOB_ID")
        if job and _is_at_its_limit(job):
            say(f"time limit of job {job}: it is queued again and goes on by itself")  # then Slurm ends this process
            if asked(["scontrol", "requeue", job]) is None:
                say(f"job {job} was not queued again; a retry goes on from what is saved")
        raise


def _is_at_its_limit(job: str) -> bool:
    """Whether Slurm lets the job run, but not for long."""
    state, _, left = (asked(["squeue", "-h", "-j", job, "-o", "%T %L"]) or "").strip().partition(" ")
    return state == "RUNNING" and _seconds(left) < MARGIN


def _seconds(text: str) -> float:
    """[days-][[hours:]minutes:]seconds; without a limit, for ever."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text.strip())
    if match is None:
        return float("inf")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def asked(command: list[str]) -> str | None:
    """What a command of Slurm prints, None if it fails; a second signal to this job does not stop it."""
    try:
        with unstoppable():  # a command inherits what is ignored
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{' '.join(command)}: {error}")
        return None
