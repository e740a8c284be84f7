"""What families that compare the outputs of one network with what is known have in common: samples and steps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .. import registry
from ..data.catalogue import Sample
from .protocol import Study, Task
from .validation import chosen_for_validation

__all__ = ["divided", "fitted", "optimizer_of"]


def optimizer_of(chosen: Mapping[str, Any], network: nn.Module) -> torch.optim.Optimizer:
    """What updates a network, by name with options; to be made when it is asked for: only training imports it."""
    options = dict(chosen)
    return registry.load("optimizer", options.pop("name"))(network.named_parameters(), **options)


def divided(study: Study) -> tuple[list[str], list[Sample]]:
    """Ids of the training samples that are fitted, and those that choose the model: whole groups."""
    training = study.catalogue.training(study.fold)
    validating = chosen_for_validation([s.group for s in training], study.experiment["training"], study.fold)
    return [s.id for s in training if s.group not in validating], [s for s in training if s.group in validating]


def fitted(task: Task, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """One step of `task.modules["model"]` down the gradient of the loss; scalars are what `measure` tells."""
    values = task.measure(batch)
    scalars = task.descent(values["loss"], task.optimizers["model"])
    return {**{name: value.detach() for name, value in values.items()}, **scalars}
