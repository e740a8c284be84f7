"""What families that compare the outputs of one network with what is known have in common: batches, steps, samples."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import registry
from ..data.catalogue import Sample
from .descent import Descent
from .protocol import Study
from .validation import chosen_for_validation

__all__ = ["Supervised"]


class Supervised:
    """One network, `modules["model"]`, one optimizer, one loss, which `measure` of the family tells."""

    study: Study
    settings: Mapping[str, Any]
    modules: dict[str, nn.Module]
    descent: Descent

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What updates the network: made when it is asked for, because only training pays for its import."""
        options = dict(self.settings["optimizer"])
        build = registry.load("optimizer", options.pop("name"))
        return {"model": build(self.modules["model"].named_parameters(), **options)}

    def divided(self) -> tuple[list[str], list[Sample]]:
        """Ids of the training samples that are fitted, and those that choose the model: whole groups."""
        training = self.study.catalogue.training(self.study.fold)
        validating = chosen_for_validation([s.group for s in training], self.settings["training"], self.study.fold)
        return [s.id for s in training if s.group not in validating], [s for s in training if s.group in validating]

    def collate(self, items: list[tuple[np.ndarray, ...]]) -> tuple[torch.Tensor, ...]:
        """(inputs (B, C, ...), what is known (B, ...)), and what else the items hold."""
        parts = zip(*items, strict=True)
        return tuple(torch.from_numpy(part[0][None] if len(part) == 1 else np.stack(part)) for part in parts)

    def measure(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """The loss, and what else is recorded."""
        raise NotImplementedError

    def step(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """One step down the gradient of the loss; scalars are what `measure` tells."""
        values = self.measure(batch)
        scalars = self.descent(values["loss"], self.optimizers["model"])
        return {**{name: value.detach() for name, value in values.items()}, **scalars}
