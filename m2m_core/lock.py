"""One owner a folder: a lock that the kernel forgets with its process, and a heartbeat where kernels do not talk."""

import contextlib
import fcntl
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import RunError

__all__ = ["exclusive", "last_owner", "owner"]

BEAT = 15.0  # seconds between two signs of life
STILL = 120.0  # seconds without one after which an owner on another machine is taken for dead


@contextlib.contextmanager
def exclusive(directory: str | Path, say: Callable[[str], None] = lambda text: None) -> Iterator[Path]:
    """Own `directory` while the block runs: a second owner is refused, a dead one forgotten.

    The kernel forgets a dead owner of this machine at once. One of another machine that did not say goodbye is watched
    for two minutes, because not every shared file system passes locks on, unless it was the same job of Slurm, which
    runs but once; `say` is told. Leftover temporary files of a killed owner are removed under the lock. Raises RunError
    if another process owns it, naming that process, or if the folder cannot be written or locked.
    """
    directory = Path(directory)
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _beats_elsewhere(directory, say):
                raise BlockingIOError
            stack.enter_context(_alive(descriptor))
            _clean(directory)
        except BlockingIOError:
            who = last_owner(directory) or "another process"
            raise RunError(f"{directory}: in use by {who}; wait for it or stop it") from None
        except OSError as error:
            raise RunError(f"{directory}: cannot be owned: {os.strerror(error.errno or 0).lower()}") from error
        yield directory


def owner(directory: str | Path) -> str | None:
    """Who owns `directory` now ("process 123 on host"), None if nobody does, as far as this machine knows."""
    with contextlib.suppress(FileNotFoundError), open(Path(directory) / ".lock") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return last_owner(directory) or "another process"
    return None


def last_owner(directory: str | Path) -> str:
    """Who owns `directory`, or owned it last and was killed; empty otherwise."""
    return _text(directory).partition(",")[0]


def _text(directory: str | Path) -> str:
    try:
        return (Path(directory) / ".lock").read_text(errors="replace")[:200]
    except FileNotFoundError:
        return ""


def _beats_elsewhere(directory: Path, say: Callable[[str], None]) -> bool:
    """Whether the last owner ran on another machine and gives a sign of life while it is watched."""
    first, begin = _text(directory), time.monotonic()
    who = first.partition(",")[0]
    if not who or who.endswith(f" on {socket.gethostname()}") or (_job() and f"{_job()}," in first):
        return False
    say(f"{directory} was left by {who}: watching for up to {STILL:.0f} s whether it lives")
    while time.monotonic() < begin + STILL:
        time.sleep(min(1.0, STILL / 4))
        if _text(directory) != first:
            return bool(_text(directory))
    say(f"warning: {directory} is taken over from {who}, which gave no sign of life for {STILL:.0f} s")
    return False


def _job() -> str:
    """The job of Slurm that this is, if it is one."""
    return f", job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""


@contextlib.contextmanager
def _alive(descriptor: int) -> Iterator[None]:
    """Signs of life in a file while the block runs, nothing in it afterwards."""
    done = threading.Event()
    _beat(descriptor, 0)
    thread = threading.Thread(target=_beats, args=(descriptor, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)


def _beats(descriptor: int, done: threading.Event) -> None:
    for number in itertools.count(1):
        if done.wait(BEAT):
            return
        with contextlib.suppress(OSError):  # a full disk is for the owner to report
            _beat(descriptor, number)


def _beat(descriptor: int, number: int) -> None:
    """Write who owns, and a number that changes: never nothing, not even for a moment."""
    text = f"process {os.getpid()} on {socket.gethostname()}{_job()}, beat {number:09d}".encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)


def _clean(directory: Path) -> None:
    for leftover in directory.glob(".*.tmp"):
        if not leftover.is_dir():
            leftover.unlink()
