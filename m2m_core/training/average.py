"""Averages of the weights, the model that is kept when one is asked for: a moving one, or that of the last epochs."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Average", "Averaging", "LastEpochs", "averaging", "recompute"]


class Averaging(Protocol):
    """What the loop asks of an average."""

    statistics: bool  # whether those of batch normalisation have to be computed for the averaged weights

    def update(self, step: int) -> None: ...
    def applied(self) -> contextlib.AbstractContextManager[None]: ...
    def state(self) -> Any: ...
    def restore(self, state: Any) -> None: ...


def averaging(modules: Mapping[str, nn.Module], settings: Mapping[str, Any], per_epoch: int) -> Averaging | None:
    """The average that the `settings` of a training ask for, if any; `per_epoch`: updates of an epoch."""
    if settings["ema"] is not None:
        return Average(modules, settings["ema"])
    return LastEpochs(modules, settings["average"]["last"], per_epoch) if settings["average"] else None


class _Applied:
    """Values of `modules` that change places with their means."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        states = {f"{m}.{key}": value for m, module in modules.items() for key, value in module.state_dict().items()}
        self.values = {key: value for key, value in states.items() if value.is_floating_point()}
        self.means = {key: value.detach().clone() for key, value in self.values.items()}

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


class Average(_Applied):
    """Exponential moving average of the state of `modules` (Polyak & Juditsky 1992): mean <- d mean + (1 - d) value.

    d = min(decay, (1 + step)/(10 + step)): the smaller decay of the first steps forgets the initial weights. Parameters
    and buffers are averaged alike, so that the statistics of batch normalisation belong to the averaged weights;
    counters are left as they are.
    """

    statistics = False

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        super().__init__(modules)
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.means.values()), list(self.values.values()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep."""
        return self.means

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        for key, mean in self.means.items():
            mean.copy_(state[key])


class LastEpochs(_Applied):
    """Mean of the states of `modules` after each of the last `count` epochs, of fewer as long as there are no more.

    Equal weights as in stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407), over a window that goes
    along with the training (Kaddour 2022, arXiv:2209.14981), so that it does not depend on how many epochs there will
    be. Its batch normalisation needs statistics of its own: those of different weights do not average to them.
    """

    statistics = True

    def __init__(self, modules: Mapping[str, nn.Module], count: int, per_epoch: int) -> None:
        super().__init__(modules)
        self.count, self.per_epoch = count, per_epoch
        self.kept: list[dict[str, Tensor]] = []  # the oldest first

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 0) if it is the last one of an epoch."""
        if (step + 1) % self.per_epoch == 0:
            now = {key: value.detach().clone() for key, value in self.values.items()}
            self.kept = [*self.kept, now][-self.count :]
            self._fill()

    def _fill(self) -> None:
        for key, mean in self.means.items():
            total = sum(state[key].double() for state in self.kept)
            mean.copy_(total / len(self.kept))  # type: ignore[operator]

    def state(self) -> list[dict[str, Tensor]]:
        """What a checkpoint has to keep: the weights of each epoch."""
        return self.kept

    @torch.no_grad()
    def restore(self, state: list[dict[str, Tensor]]) -> None:
        """Continue from `state`."""
        like = self.values
        self.kept = [{key: value.to(like[key].device, copy=True) for key, value in one.items()} for one in state]
        if self.kept:
            self._fill()


@torch.no_grad()
def recompute(modules: Mapping[str, nn.Module], batches: Iterable[Any], forward: Callable[[Any], Any]) -> None:
    """Set the statistics of batch normalisation to the mean over `batches`, of which `forward` takes one each.

    As in Izmailov et al. 2018, section 3.2; everything else is left in evaluation mode, and counters as they were.
    """
    norms = [m for module in modules.values() for m in module.modules() if isinstance(m, _BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]  # type: ignore[union-attr]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean of all
        norm.train()
    for batch in batches if norms else ():
        forward(batch)
    for norm, (momentum, count) in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum
        norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]
