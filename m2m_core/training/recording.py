"""What a training tells of itself: the scalars of its updates, gathered into rows for the history and trackers."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..models import devices
from .distributed import Member
from .history import History
from .tracking import Tracker

__all__ = ["Recorder", "averaged", "for_trackers"]

FOREIGN = ("step", "epoch", "seconds", "attempt")  # columns of the history that are no curves


class Recorder:
    """Holds the scalars of the updates since the last row where they are; nothing waits for the device between rows.

    watched: number of the first update -> what is told of rows and pictures, made with the first row
    """

    def __init__(self, folder: Path, device: torch.device, group: Member, watched: Callable[[int], Tracker]) -> None:
        self.folder, self.device, self.group, self.watched = folder, device, group, watched
        self.pending: list[dict[str, torch.Tensor]] = []
        self._weights: list[float] = []  # of this process in the last of the pending updates, not yet averaged
        self.seconds, self.attempts = 0.0, 1
        self._counted, self._begin = 0, time.monotonic()  # examples, and the moment from which they count
        self._end: float | None = None  # the moment of the last of them, where it is known

    def open(self, step: int) -> None:
        """Continue the files of the folder after update number `step`; of several processes the first one writes."""
        self.history = History(self.folder / "history.csv", step) if self.group.leads else None
        self._first: int = step + 1
        self._tracker: Tracker | None = None

    def take(self, scalars: dict[str, torch.Tensor], examples: int, weight: float = 1.0) -> None:
        """Remember the scalars of one update, of which this process saw the part `weight`."""
        self.pending.append(scalars)
        self._weights.append(weight)
        self._counted += examples

    def pause(self) -> None:
        """All updates of the row are done; validation and pictures do not make the rate less."""
        self._end = time.monotonic()

    def means(self) -> dict[str, float]:
        """Mean of each scalar over the updates since the last row."""
        return dict(zip(self.pending[0], self._table().double().mean(0).tolist(), strict=True))

    def first_nonfinite(self) -> tuple[int, str] | None:
        """How many updates back, and which, is the first scalar that is not finite."""
        for row, values in enumerate(self._table().tolist()):
            for name, value in zip(self.pending[0], values, strict=True):
                if not math.isfinite(value):
                    return len(self.pending) - row, name
        return None

    def write(self, row: Mapping[str, Any], beside: Callable[[], Mapping[str, float]] = dict) -> dict[str, Any]:
        """Add the rate to `row`, write it down, and begin the next one; returns the whole row.

        beside: what trackers alone are told; a name that the row has as well is the row's
        """
        rate = self._counted / max((self._end or time.monotonic()) - self._begin, 1e-9)
        row = {**row, "samples_per_second": rate, "seconds": self.elapsed(), "attempt": self.attempts}
        if self.history:
            self.history.append(row)
            curves = {key: value for key, value in row.items() if key not in FOREIGN}
            memory = devices.peak_memory(self.device)
            self.tracker.scalars(row["step"], {**beside(), **curves, "memory_MiB": memory})
        self.seconds = row["seconds"]
        self.pending, self._counted, self._begin, self._end = [], 0, time.monotonic(), None
        return row

    def elapsed(self) -> float:
        """Seconds of training so far, of all attempts."""
        return self.seconds + time.monotonic() - self._begin

    def pictures(self, step: int, fields: Mapping[str, np.ndarray], rows: Sequence[tuple[Any, ...]]) -> None:
        """Draw fields of a validation sample, the prediction among them, and what that is worth."""
        self.tracker.pictures(step, fields, rows)

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        names = list(self.pending[0]) if self.pending else []
        values = self._table() if self.pending else []
        seconds = self.elapsed() if self.pending else self.seconds
        return {"names": names, "values": values, "seconds": seconds, "attempts": self.attempts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.seconds, self.attempts = state["seconds"], state["attempts"]
        rows = (row.to(self.device).unbind() for row in state["values"])
        self.pending = [dict(zip(state["names"], row, strict=True)) for row in rows]

    @property
    def tracker(self) -> Tracker:
        """What is told of rows and pictures, opened when there is the first."""
        self._tracker = self._tracker or self.watched(self._first)
        return self._tracker

    def close(self) -> None:
        """Write out what trackers have not yet."""
        if self._tracker:
            self._tracker.close()

    def _table(self) -> torch.Tensor:
        """(updates, scalars) float32 on the CPU, averaged over all processes."""
        values = [value.detach().to(self.device, torch.float32) for row in self.pending for value in row.values()]
        table = torch.stack(values).reshape(len(self.pending), -1).cpu()
        if first := len(self._weights):
            table[-first:] = self.group.mean(table[-first:], self._weights)
            self._hold(table)
        return table

    def _hold(self, table: torch.Tensor) -> None:
        """What was averaged once is kept so."""
        names = list(self.pending[0])
        self.pending = [dict(zip(names, row.unbind(), strict=True)) for row in table.to(self.device)]
        self._weights = []


def averaged(parts: Sequence[Mapping[str, torch.Tensor]], counts: Sequence[int]) -> dict[str, torch.Tensor]:
    """The scalars of an update from those of its batches, weighted by examples; some come with the last one alone."""
    if len(parts) == 1:
        return dict(parts[0])
    counts = counts if sum(counts) else [1] * len(parts)  # of a process that has none: they count nothing
    means = {
        name: sum(part[name] * count for part, count in zip(parts, counts, strict=True)) / sum(counts)
        for name in parts[0]
    }
    return {**parts[-1], **means}


def for_trackers(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, float]:
    """What trackers are told beside the history: of the last update the norm of the gradient, and the rates.

    `gradient` where there is one optimizer, whose rate the history has; else each by its name.
    """
    told = {}
    for name, optimizer in optimizers.items():
        found = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        alone = len(optimizers) == 1
        told["gradient" if alone else f"gradient_{name}"] = float(torch.nn.utils.get_total_norm(found))
        told |= {} if alone else {f"lr_{name}": optimizer.param_groups[0]["lr"]}
    return told
