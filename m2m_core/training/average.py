"""Exponential moving average of the weights (Polyak & Juditsky 1992), the model that is kept when it is asked for."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

__all__ = ["Average"]


class Average:
    """Averages the parameters of `modules`: mean <- d mean + (1 - d) weight, d = min(decay, (1 + step)/(10 + step)).

    The smaller decay of the first steps forgets the initial weights; buffers are not averaged.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.weights = {f"{m}.{k}": p for m, module in modules.items() for k, p in module.named_parameters()}
        self.means = {key: weight.detach().clone() for key, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.means.values()), list(self.weights.values()), 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The modules hold the average while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for key, weight in self.weights.items():
            kept = weight.clone()
            weight.copy_(self.means[key])
            self.means[key].copy_(kept)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint has to keep."""
        return self.means

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from `state`."""
        for key, mean in self.means.items():
            mean.copy_(state[key])
