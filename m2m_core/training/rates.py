"""The learning rates of a training: a peak for each group of parameters, and the schedule that it follows."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

__all__ = ["Rates", "Schedule"]


class Schedule(Protocol):
    """A factor as a function of the step, see `schedules`."""

    watches: bool

    def factor(self, step: int) -> float: ...

    def observe(self, score: float) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Rates:
    """What sets the rates of `optimizers`, whose rates at first are the peaks.

    common: the schedule of all that have none of their `own`, by the name of the optimizer
    """

    def __init__(
        self, optimizers: Mapping[str, torch.optim.Optimizer], common: Schedule, own: Mapping[str, Schedule]
    ) -> None:
        self.optimizers, self.common, self.own = optimizers, common, own
        self.peaks = {name: [g["lr"] for g in optimizer.param_groups] for name, optimizer in optimizers.items()}

    def set(self, step: int) -> None:
        """Make the rates those of update number `step` (from 0)."""
        for name, optimizer in self.optimizers.items():
            factor = self.own.get(name, self.common).factor(step)
            for group, peak in zip(optimizer.param_groups, self.peaks[name], strict=True):
                group["lr"] = peak * factor

    def observe(self, score: float) -> None:
        """A validation score."""
        for schedule in (self.common, *self.own.values()):
            schedule.observe(score)

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {"common": self.common.state(), "own": {name: own.state() for name, own in self.own.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.common.restore(state["common"])
        for name, own in self.own.items():
            own.restore(state["own"][name])
