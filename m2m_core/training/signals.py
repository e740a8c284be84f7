"""The only place that handles signals: the scheduler's wish to stop becomes a list that is no longer empty."""

import contextlib
import os
import signal
from collections.abc import Iterator

__all__ = ["stop_requests", "unstoppable"]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LISTENING: list[list[int]] = []  # one list a block that runs, the outermost first


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that receives the numbers of the signals that ask us to stop; nothing else happens in the handler.

    Of blocks inside each other, all hear. A forked process inherits the handler but not the run, so it dies quietly.
    Outside the main thread of a process the list stays empty, because Python delivers signals only there.
    """
    requests: list[int] = []
    around, owner = list(LISTENING), os.getpid()

    def note(number: int, frame: object) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        requests.append(number)
        for heard in around:
            heard.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in SIGNALS}
    except ValueError:
        previous = {}
    LISTENING.append(requests)
    try:
        yield requests
    finally:
        LISTENING[:] = around
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unstoppable() -> Iterator[None]:
    """Requests to stop are ignored while the block runs, here and in the processes that it starts."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
