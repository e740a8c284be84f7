"""What a person sees while a model trains: a bar on a terminal, a line now and then elsewhere."""

import fcntl
import os
import time
from collections.abc import Mapping
from typing import IO, Any

from tqdm import tqdm

__all__ = ["Progress"]

FIRST, EVERY = 2.0, 15.0  # seconds until the first line, and between two lines
HIDDEN = ("step", "epoch", "lr", "samples_per_second", "seconds", "attempt")
BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Progress:
    """Called after each update with (step, steps, row of the history or nothing)."""

    def __init__(self, job: Any) -> None:
        self.job, self.row = job, {}
        self.terminal = _own_terminal(job.console)
        self.bar: tqdm | None = None
        self.begin, self.first, self.next = 0.0, -1, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.terminal is not None:
            os.close(self.terminal)

    def __call__(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        if row:
            self.row.update({name: value for name, value in row.items() if value is not None})
        if self.terminal is not None:
            self._draw(step, steps, bool(row))
        else:
            self._tell(step, steps, time.monotonic())

    def _draw(self, step: int, steps: int, with_row: bool) -> None:
        if self.bar is None:
            place = {"file": self.job.console, "leave": False, "dynamic_ncols": True}
            self.bar = tqdm(desc=self.job.name, total=steps, initial=step - 1, bar_format=BAR, **place)
        if with_row:
            self.bar.set_postfix_str(_numbers(self.row), refresh=False)
        self.bar.update(step - self.bar.n)

    def _tell(self, step: int, steps: int, now: float) -> None:
        if self.first < 0:
            self.begin, self.first, self.next = now, step, now + FIRST
        if now < self.next or step == self.first or step == steps:
            return
        self.next = now + EVERY
        rate = (step - self.first) / (now - self.begin)
        left = tqdm.format_interval((steps - step) / rate)
        numbers = "".join(f", {text}" for text in [_numbers(self.row)] if text)
        self.job.say(f"step {step}/{steps} ({100 * step // steps}%){numbers}, {rate:.3g} steps/s, {left} left")


def _numbers(row: Mapping[str, Any]) -> str:
    words = [f"{name} {value:.4g}" for name, value in row.items() if name not in HIDDEN]
    return ", ".join([*words, f"{row['samples_per_second']:.3g} samples/s"] if row else [])


def _own_terminal(console: IO[str]) -> int | None:
    """A lock on the terminal if there is one: of several trainings, one draws a bar and the others print lines."""
    if not console.isatty() or not os.get_terminal_size(console.fileno()).columns:
        return None
    terminal = None
    try:
        terminal = os.open(os.ttyname(console.fileno()), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if terminal is not None:
            os.close(terminal)
        return None
    return terminal
