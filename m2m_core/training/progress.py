"""What a person sees while a model trains: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

__all__ = ["Progress"]

EVERY = 15.0  # seconds between two lines


class Progress:
    """Called after each update with (step, steps, row of the history or nothing)."""

    def __init__(self, job: Any, epochs: int) -> None:
        self.job, self.epochs = job, epochs
        self.bar: tqdm | None = None
        self.row: dict[str, float] = {}
        self.begin, self.first, self.said = time.monotonic(), -1, time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, step: int, steps: int, row: Mapping[str, float]) -> None:
        self.row.update(row)
        if self.first < 0:
            self.first = step - 1
        if self.job.console.isatty():
            self._draw(step, steps, bool(row))
        elif time.monotonic() - self.said > EVERY:
            self._tell(step, steps)

    def _draw(self, step: int, steps: int, with_row: bool) -> None:
        if self.bar is None:
            form = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
            self.bar = tqdm(
                total=steps, initial=step - 1, desc=self.job.name, file=self.job.console, bar_format=form, leave=False,
                dynamic_ncols=True,
            )  # fmt: skip
        if with_row:
            self.bar.set_postfix_str(_numbers(self.row), refresh=False)
        self.bar.update(step - self.bar.n)

    def _tell(self, step: int, steps: int) -> None:
        self.said = time.monotonic()
        rate = (step - self.first) / (self.said - self.begin)
        left = time.strftime("%H:%M:%S", time.gmtime((steps - step) / rate))
        self.job.say(f"step {step}/{steps} ({100 * step // steps}%), {_numbers(self.row)}, {rate:.3g} steps/s, {left} left")


def _numbers(row: Mapping[str, float]) -> str:
    names = [n for n in row if n not in ("step", "epoch", "lr", "samples_per_second")]
    return ", ".join([*(f"{n} {row[n]:.4g}" for n in names), f"{row.get('samples_per_second', 0.0):.3g} samples/s"])
