"""What a family of models must say about itself. Loops, files, seeds and signals live elsewhere, once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from .. import registry
from ..crops import Crops
from ..data.catalogue import Catalogue, Sample
from ..data.predictions import covering
from ..data.slices import Slices
from .descent import Descent, Descents

__all__ = ["Descent", "Descents", "Prediction", "Row", "Split", "Study", "Task", "build", "descend"]

Row = tuple[str, str, str, float | None, float]  # source, field, metric, x, value


@dataclass(frozen=True)
class Study:
    """What the earlier stages made for one fold of one experiment."""

    experiment: Mapping[str, Any]  # the experiment of the config, every default filled in
    catalogue: Catalogue
    statistics: Mapping[str, Any]  # of the training samples of this fold
    crops: Crops | Slices
    fold: int


@dataclass(frozen=True)
class Split:
    """Examples to fit and to choose the best model by (any sequences that `item` understands), samples to predict."""

    fit: Sequence[Any]
    validate: Sequence[Any]
    predict: Sequence[Sample]
    watch: Sample | None = None  # a validation sample of which training draws pictures, beside what `beside` gives
    near: np.ndarray | None = None  # (examples to fit,) the number of the sample that each is read from
    streams: tuple[int, int] | None = None  # of samples that are kept in memory as wholes, see `training.order.Order`


@dataclass(frozen=True)
class Prediction:
    """A whole sample in physical units, block by block: memory grows with the block, not with the sample.

    The blocks hold every value once; whoever takes them all is told if they do not.
    """

    shape: tuple[int, ...]  # (C, *space)
    attributes: Mapping[str, Any]  # units and the like, stored beside the values
    blocks: Iterator[tuple[tuple[slice, ...], np.ndarray]]  # where in the whole, values
    beside: Iterable[tuple[str, np.ndarray]] = ()  # name, array: what else is kept of a sample

    def whole(self) -> np.ndarray:
        """The sample in memory, float32 (C, *space)."""
        out = np.empty(self.shape, np.float32)
        for place, block in covering(self.shape, self.blocks):
            out[place] = block
        return out


class Task(Protocol):
    """A family. Everything that is trained, saved and restored is in `modules` and `optimizers`.

    It may have, beside what stands here: `schedules`, of those optimizers whose rate does not follow the experiment's
    (name -> its settings); `averaged`, the modules of which a moving average is the model, if not of all;
    `keeps_best`, whether the best by validation is the model and not the last; `takes_noise`, whether several
    predictions can be drawn of a sample, by `predict(sample, draw)`, to be judged by `evaluate_draws(draws, sample)`.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    descent: Descent | Descents  # which makes every step of an optimizer

    def __init__(self, study: Study, **options: Any) -> None: ...

    def samples(self) -> Split:
        """Which examples are fitted, which choose the model and which samples are held out."""

    def item(self, example: Any, rng: np.random.Generator | None) -> Any:
        """One training example; all randomness from `rng`, none without."""

    def collate(self, items: list[Any]) -> Any:
        """Examples -> a batch: a tensor, or a tuple or dict of tensors."""

    def step(self, batch: Any) -> dict[str, torch.Tensor]:
        """One update of every module; scalars to record, the same at each step, the first is the loss."""

    def measure(self, batch: Any) -> dict[str, torch.Tensor]:
        """The scalars that choose the best model, the first being made small; nothing is updated."""

    def predict(self, sample: Sample) -> Prediction:
        """A whole sample, of the catalogue or of another one, of its input alone."""

    def beside(self, sample: Sample) -> dict[str, np.ndarray]:
        """Fields (C, *space) to be drawn beside a prediction, by name, `target` among them; not every task has any."""

    def evaluate(self, prediction: np.ndarray, sample: Sample) -> list[Row]:
        """What the prediction, and every baseline, is worth."""


def build(study: Study) -> Task:
    """The task that an experiment names, with freshly initialised modules: a function of the config and its seed."""
    training = study.experiment["training"]
    torch.manual_seed(training["seed"])
    options = dict(study.experiment["task"])
    task = registry.load("task", options.pop("name"))(study, **options)
    if (std := training.get("init_std")) is not None:
        _initialise(task.modules, std)
    return task


@torch.no_grad()
def _initialise(modules: Mapping[str, nn.Module], std: float) -> None:
    """Draw every weight that connects channels from a normal distribution; biases and scales stay as they are."""
    for module in modules.values():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=std)


def descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer, clip: float | None) -> dict[str, torch.Tensor]:
    """One step of `optimizer` down the gradient of `loss`; with `clip`, its norm is limited to that, and returned."""
    return Descent(clip)(loss, optimizer)
