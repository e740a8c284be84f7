"""Exponential moving average of the weights (Polyak & Juditsky 1992), the model that is kept when it is asked for."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

__all__ = ["Average"]


class Average:
    """Averages the state of `modules`: mean <- d mean + (1 - d) value, d = min(decay, (1 + step)/(10 + step)).

    The smaller decay of the first steps forgets the initial weights. Parameters and buffers are averaged alike, so that
    the statistics of batch normalisation belong to the averaged weights; counters are left as they are.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        states = {f"{m}.{key}": value for m, module in modules.items() for key, value in module.state_dict().items()}
        self.values = {key: value for key, value in states.items() if value.is_floating_point()}
        self.means = {key: value.detach().clone() for key, value in self.values.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.means.values()), list(self.values.values()), 1 - decay)

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
        for key, value in self.values.items():
            kept = value.clone()
            value.copy_(self.means[key])
            self.means[key].copy_(kept)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint has to keep."""
        return self.means

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from `state`."""
        for key, mean in self.means.items():
            mean.copy_(state[key])
