"""Which GPUs of this machine a training takes: one training at a time on each, by locks that die with their owner."""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import RunError
from ..models import devices

__all__ = ["chosen", "taken"]

SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")  # set in the jobs of Slurm, PBS, LSF, Grid Engine
VISIBLE = "CUDA_VISIBLE_DEVICES"
PAUSE = 1.0  # seconds between two looks


@contextlib.contextmanager
def chosen(training: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, CUDA sees free GPUs alone, as many as the training asks for, and they are ours.

    Must be entered before CUDA is used. The GPUs that a scheduler gave, and one that the config names, are left as
    they are.
    """
    device = devices.choose(training["device"])
    if device.type != "cuda" or device.index is not None or any(name in os.environ for name in SCHEDULERS):
        yield
        return
    before = os.environ.get(VISIBLE)
    names = before.split(",") if before else [str(number) for number in range(torch.cuda.device_count())]
    with taken(names, training["gpus"], say) as ours:
        os.environ[VISIBLE] = ",".join(ours)
        yield


@contextlib.contextmanager
def taken(names: Sequence[str], count: int, say: Callable[[str], None]) -> Iterator[list[str]]:
    """The first `count` GPUs on which nobody trains, ours while the block runs; waits for them, and says so."""
    with contextlib.ExitStack() as locks:
        ours = _locked(names, count, locks)
        if len(ours) < count:
            say(f"waiting until nothing else trains on {count} of {len(names)} GPUs")
        while len(ours) < count:
            locks.close()  # else two that wait for several GPUs might each keep one for ever
            time.sleep(PAUSE)
            ours = _locked(names, count, locks)
        yield ours


def _locked(names: Sequence[str], count: int, locks: contextlib.ExitStack) -> list[str]:
    """At most `count` GPUs that were free and now belong to `locks`."""
    ours: list[str] = []
    for name in names:
        if len(ours) < count and _is_locked(name, locks):
            ours.append(name)
    return ours


def _is_locked(name: str, locks: contextlib.ExitStack) -> bool:
    """Whether the GPU was free and now belongs to `locks`."""
    path = Path(tempfile.gettempdir()) / f"m2m-gpu-{name.strip()}.lock"
    with contextlib.ExitStack() as opened:
        try:
            descriptor = _opened(path)
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise RunError(f"{path}: cannot be locked: {os.strerror(error.errno or 0).lower()}") from error
        locks.push(opened.pop_all())
    return True


def _opened(path: Path) -> int:
    """A descriptor of a file that all users of this machine share; one that exists may not be opened for writing."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor
