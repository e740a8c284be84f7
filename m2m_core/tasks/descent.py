"""From losses to updates: gradients of the parts of a batch added up, scaled in half precision, clipped, and used."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import Diverged

__all__ = ["Descent", "Descents"]

FIRST, LEAST = 2.0**16, 2.0**-16  # of the scales that a loss is multiplied with before float16
PATIENCE = 2000  # updates without overflow until the scale is doubled


class Descent:
    """One step of an optimizer down the gradient of a loss, of one batch or of several parts of it.

    A task calls it with each of its losses and the optimizer of what that loss trains; who trains says before, by
    `begin`, which part of a batch follows. In `half` precision losses are scaled so that no gradient vanishes; an
    update whose gradients overflow is skipped and the scale halved (Micikevicius et al. 2018, arXiv:1710.03740).
    """

    def __init__(self, clip: float | None = None, half: bool = False) -> None:
        self.clip, self.scale, self.good = clip, FIRST if half else 1.0, 0
        self.half = half
        self.begin(1.0, True, True)

    def begin(self, weight: float, first: bool, last: bool, step: int = 0, per_epoch: int = 1) -> None:
        """The next loss is of a part that counts `weight` in the whole batch; the step is made after the last one.

        step: number of the update, from 0; per_epoch: updates an epoch
        """
        self.weight, self.first, self.last, self.step, self.per_epoch = weight, first, last, step, per_epoch

    def __call__(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Add the gradient of `loss`, and step if it is whole; scalars to record, none before the last part.

        Raises Diverged when gradients overflow at any scale.
        """
        if self.first:
            optimizer.zero_grad(set_to_none=True)
        factor = self.weight * self.scale
        (loss if factor == 1.0 else loss * factor).backward()
        return self._step(optimizer) if self.last else {}

    def _step(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if not self.half:
            scalars = self._clipped(parameters)
            optimizer.step()
            return scalars
        scalars = self.rest()
        if self._unscaled(parameters):
            scalars |= self._clipped(parameters)
            optimizer.step()
        return scalars

    def rest(self) -> dict[str, Tensor]:
        """The scalars of an update in which nothing is done, under the names of one that steps."""
        gradient = {} if self.clip is None else {"gradient": torch.zeros(())}
        return {**gradient, **({"scale": torch.tensor(self.scale)} if self.half else {})}

    def _clipped(self, parameters: list[Tensor]) -> dict[str, Tensor]:
        """The norm of the gradient before it was limited, if it is."""
        return {} if self.clip is None else {"gradient": torch.nn.utils.clip_grad_norm_(parameters, self.clip)}

    @torch.no_grad()
    def _unscaled(self, parameters: list[Tensor]) -> bool:
        """Undo the scale and choose the next one; whether the gradients are finite."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(gradients, 1.0 / self.scale)
        finite = bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all())
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.good % PATIENCE == 0:
            self.scale *= 2
        if self.scale < LEAST:
            text = f"gradients overflow float16 even where the loss is multiplied by {self.scale:.1g}"
            raise Diverged(f"{text}; lower optimizer.lr, or take training.precision: bf16")
        return finite

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {"scale": self.scale, "good": self.good}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.scale, self.good = state["scale"], state["good"]


class Descents:
    """A descent for each of several optimizers, by name: losses that overflow are scaled apart from the others."""

    def __init__(self, clips: Mapping[str, float | None], half: bool = False) -> None:
        self.parts = {name: Descent(clip, half) for name, clip in clips.items()}

    def __getitem__(self, name: str) -> Descent:
        return self.parts[name]

    def begin(self, weight: float, first: bool, last: bool, step: int = 0, per_epoch: int = 1) -> None:
        """The next losses are of this part of a batch, see `Descent.begin`."""
        for part in self.parts.values():
            part.begin(weight, first, last, step, per_epoch)

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {name: part.state() for name, part in self.parts.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        for name, part in self.parts.items():
            part.restore(state[name])
