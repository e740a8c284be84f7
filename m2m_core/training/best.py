"""Which weights are the model: those of the best validation score, and how long ago that was."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["Best", "Weights"]

Weights = dict[str, dict[str, Tensor]]  # module -> key -> values


class Best:
    """The best score so far, the step and the weights that it belongs to, and the measurements since."""

    def __init__(self) -> None:
        self.score, self.step, self.waited = math.inf, 0, 0
        self.weights: Weights = {}

    def observe(self, score: float, step: int, weights: Callable[[], Weights]) -> None:
        """Keep `weights()` if the score after `step` updates is lower than all before."""
        if score < self.score:
            self.score, self.step, self.waited, self.weights = score, step, 0, weights()
        else:
            self.waited += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {"score": self.score, "step": self.step, "waited": self.waited, "weights": self.weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.score, self.step, self.waited = state["score"], state["step"], state["waited"]
        self.weights = state["weights"]
