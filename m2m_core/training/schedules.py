"""Learning rate as a function of the step, so that a resumed run needs no history of it."""

import math

from ..options import Count, Fraction, Index, Positive, Probability
from ..registry import register

__all__ = ["Constant", "Cosine", "Plateau"]


@register("schedule", "constant")
class Constant:
    """The peak rate after a linear warm-up.

    Options:
        warmup: steps of linear warm-up [steps]
    """

    watches = False  # whether validation scores change the rate

    def __init__(self, steps: int, *, warmup: Index = 0) -> None:
        self.warmup = warmup

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        return min(1.0, (step + 1) / (self.warmup + 1))

    def observe(self, score: float) -> None:
        """A validation score; nothing depends on it."""

    def state(self) -> dict[str, float]:
        """What a checkpoint has to keep."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Continue from `state`."""


@register("schedule", "cosine")
class Cosine(Constant):
    """Half a cosine from the peak to its end (Loshchilov & Hutter 2017), after a linear warm-up.

    Options:
        warmup: steps of linear warm-up [steps]
        end: rate at the last step, in units of the peak
        horizon: steps until the end [steps]; those of the whole training unless given
    """

    def __init__(self, steps: int, *, warmup: Index = 0, end: Probability = 0.01, horizon: Count | None = None) -> None:
        super().__init__(steps, warmup=warmup)
        self.end, self.horizon = end, horizon or steps

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        done = (step - self.warmup) / max(1, self.horizon - 1 - self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))
        return super().factor(step) * (self.end + (1 - self.end) * cosine)


@register("schedule", "plateau")
class Plateau(Constant):
    """Lower the rate when the validation score has not improved for a while.

    Options:
        warmup: steps of linear warm-up [steps]
        patience: measurements without a better one before the rate is lowered
        shrink: what the rate is multiplied with
        threshold: relative improvement that counts
        end: lowest rate, in units of the peak
    """

    watches = True

    def __init__(
        self,
        steps: int,
        *,
        warmup: Index = 0,
        patience: Count = 5,
        shrink: Fraction = 0.5,
        threshold: Positive = 1.0e-4,
        end: Probability = 0.0,
    ) -> None:
        super().__init__(steps, warmup=warmup)
        self.patience, self.shrink, self.threshold, self.end = patience, shrink, threshold, end
        self.level, self.best, self.waited = 1.0, math.inf, 0

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        return super().factor(step) * self.level

    def observe(self, score: float) -> None:
        """Lower the level after `patience` scores that are not better than the best."""
        if math.isinf(self.best) or score < self.best - self.threshold * abs(self.best):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.waited >= self.patience:
            self.level, self.waited = max(self.end, self.level * self.shrink), 0

    def state(self) -> dict[str, float]:
        """What a checkpoint has to keep."""
        return {"level": self.level, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, float]) -> None:
        """Continue from `state`."""
        self.level, self.best, self.waited = state["level"], state["best"], int(state["waited"])
