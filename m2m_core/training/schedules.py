"""Learning rate as a function of the step, so that a resumed run needs no history of it."""

import math

from ..options import Count, Fraction, Index, Positive, Probability
from ..registry import register

__all__ = [
    "Constant", "Cosine", "CosineRestarts", "Cyclic", "Exponential", "Linear", "MultiStep", "OneCycle", "Plateau",
    "Polynomial", "Step",
]  # fmt: skip


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


@register("schedule", "step")
class Step(Constant):
    """Lower the rate each so many steps.

    Options:
        warmup: steps of linear warm-up [steps]
        every: steps between two falls [steps]
        shrink: what the rate is multiplied with
    """

    def __init__(self, steps: int, *, warmup: Index = 0, every: Count = 1000, shrink: Fraction = 0.5) -> None:
        super().__init__(steps, warmup=warmup)
        self.every, self.shrink = every, shrink

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        return super().factor(step) * self.shrink ** (max(0, step - self.warmup) // self.every)


@register("schedule", "multistep")
class MultiStep(Constant):
    """Lower the rate at given steps.

    Options:
        warmup: steps of linear warm-up [steps]
        milestones: updates from which on the rate is lower [steps]
        shrink: what the rate is multiplied with at each of them
    """

    def __init__(self, steps: int, *, milestones: list[Count], warmup: Index = 0, shrink: Fraction = 0.1) -> None:
        super().__init__(steps, warmup=warmup)
        self.milestones, self.shrink = milestones, shrink

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        return super().factor(step) * self.shrink ** sum(step >= milestone for milestone in self.milestones)


@register("schedule", "exponential")
class Exponential(Constant):
    """A rate that falls by the same factor each step.

    Options:
        warmup: steps of linear warm-up [steps]
        every: steps in which the rate is multiplied with `shrink` once [steps]
        shrink: what the rate is multiplied with
    """

    def __init__(self, steps: int, *, warmup: Index = 0, every: Count = 1000, shrink: Fraction = 0.5) -> None:
        super().__init__(steps, warmup=warmup)
        self.every, self.shrink = every, shrink

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        return super().factor(step) * self.shrink ** (max(0, step - self.warmup) / self.every)


@register("schedule", "polynomial")
class Polynomial(Constant):
    """A power of what is left of the training, from the peak to the end.

    Options:
        warmup: steps of linear warm-up [steps]
        power: 1 falls in proportion, more falls earlier
        end: rate at the last step, in units of the peak
        horizon: steps until the end [steps]; those of the whole training unless given
    """

    def __init__(
        self,
        steps: int,
        *,
        warmup: Index = 0,
        power: Positive = 2.0,
        end: Probability = 0.0,
        horizon: Count | None = None,
    ) -> None:
        super().__init__(steps, warmup=warmup)
        self.power, self.end, self.horizon = power, end, horizon or steps

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        done = min(1.0, max(0.0, (step - self.warmup) / max(1, self.horizon - 1 - self.warmup)))
        return super().factor(step) * (self.end + (1 - self.end) * (1 - done) ** self.power)


@register("schedule", "linear")
class Linear(Polynomial):
    """A straight line from the peak to the end.

    Options:
        warmup: steps of linear warm-up [steps]
        end: rate at the last step, in units of the peak
        horizon: steps until the end [steps]; those of the whole training unless given
    """

    def __init__(self, steps: int, *, warmup: Index = 0, end: Probability = 0.0, horizon: Count | None = None) -> None:
        super().__init__(steps, warmup=warmup, power=1.0, end=end, horizon=horizon)


@register("schedule", "one_cycle")
class OneCycle(Constant):
    """Half a cosine up to the peak and half a cosine down to next to nothing (Smith & Topin 2017, arXiv:1708.07120).

    Options:
        rise: part of the steps on the way up
        start: rate at the first step, in units of the peak
        end: rate at the last step, in units of the peak
        horizon: steps until the end [steps]; those of the whole training unless given
    """

    def __init__(
        self,
        steps: int,
        *,
        rise: Fraction = 0.3,
        start: Probability = 0.04,
        end: Probability = 4.0e-6,
        horizon: Count | None = None,
    ) -> None:
        super().__init__(steps)
        self.rise, self.start, self.end, self.last = rise, start, end, max(1, (horizon or steps) - 1)

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        top = max(1e-9, self.rise * (self.last + 1) - 1)
        low = self.start if step <= top else self.end
        away = (top - step) / top if step <= top else min(1.0, (step - top) / (self.last - top))
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * away))


@register("schedule", "cyclic")
class Cyclic(Constant):
    """Up and down again in straight lines, each time less high if wished (Smith 2017, arXiv:1506.01186).

    Options:
        warmup: steps of linear warm-up, before the first cycle [steps]
        up: steps from the lowest rate to the highest [steps]
        down: steps back [steps]
        low: lowest rate, in units of the peak
        shrink: what the height of each cycle is multiplied with, from one to the next; 1 leaves it
    """

    def __init__(
        self,
        steps: int,
        *,
        warmup: Index = 0,
        up: Count = 1000,
        down: Count = 1000,
        low: Probability = 0.1,
        shrink: Probability = 1.0,
    ) -> None:
        super().__init__(steps, warmup=warmup)
        self.up, self.down, self.low, self.shrink = up, down, low, shrink

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        cycle, place = divmod(max(0, step - self.warmup), self.up + self.down)
        height = place / self.up if place <= self.up else (self.up + self.down - place) / self.down
        return super().factor(step) * (self.low + (1 - self.low) * height * self.shrink**cycle)


@register("schedule", "cosine_restarts")
class CosineRestarts(Constant):
    """Half a cosine from the peak to its end, again and again (Loshchilov & Hutter 2017), after a linear warm-up.

    Options:
        warmup: steps of linear warm-up [steps]
        period: steps of the first cosine [steps]
        growth: how many times longer each one is than the one before
        end: lowest rate, in units of the peak
    """

    def __init__(
        self, steps: int, *, warmup: Index = 0, period: Count = 1000, growth: Count = 1, end: Probability = 0.0
    ) -> None:
        super().__init__(steps, warmup=warmup)
        self.period, self.growth, self.end = period, growth, end

    def factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 0), in units of the peak."""
        place, period = max(0, step - self.warmup), self.period
        while self.growth > 1 and place >= period:
            place, period = place - period, period * self.growth
        cosine = 0.5 * (1 + math.cos(math.pi * (place % period) / period))
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
