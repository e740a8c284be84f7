"""What adversarial training asks beside what its generator does: crops that the discriminator takes, time to begin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import models, registry
from ..config import Dataset, Experiment
from ..errors import ConfigError
from ..family import Family
from ..registry import register
from . import fields

__all__ = ["adversarial"]


@register("family", "adversarial")
def adversarial() -> Family:
    """A field of another, judged by a discriminator."""
    return replace(fields.field_to_field(), check_sizes=check_sizes, check_search=check_search, judging=("choose",))


def check_sizes(experiment: Experiment, dataset: Dataset, space: dict[str, tuple[int, ...]] | None) -> None:
    """A crop that the discriminator takes, a loss that the target takes, and a schedule of both that trains."""
    fields.check_loss(experiment, dataset, space)
    _check_discriminator(experiment)
    _check_schedule(experiment.model_dump())


def check_search(experiment: Experiment, values: Mapping[str, Any]) -> None:
    """A model that is chosen by its score, where a search compares scores of what the task is given."""
    task: Any = experiment.task
    if task["choose"] == "last" and any(key.startswith("task.") for key in values):
        text = "last, a model whatever its score, but the search compares scores"
        raise ConfigError(f"task.choose: {text}; expected spectrum or loss")


def _check_discriminator(experiment: Experiment) -> None:
    task, geometry = dict(experiment.task), models.known_geometry(dict(experiment.model))
    if geometry is None or not registry.is_ours("patches", name := task["discriminator"]["name"]):
        return
    size = experiment.crops.size
    edges = geometry.writes(size if isinstance(size, list) else [size])
    patches = models.patches_of(name, task["discriminator"])
    core = patches.core(edges, f"task.discriminator: {name}")
    _check_batch(experiment.model_dump(), [edge + patches.normalised for edge in core])


def _check_batch(settings: dict[str, Any], edges: Sequence[int]) -> None:
    """Two values a channel for a batch normalisation that measures maps of `edges`; whose last batch may be shorter."""
    normalised = settings["task"]["discriminator"].get("normalization") == "batch"
    if normalised and settings["training"]["batch_size"] * math.prod(edges) == 1:
        why = "of which batch normalisation in task.discriminator gets one value a channel"
        raise ConfigError(f"training.batch_size: 1, {why}; expected 2, larger crops, or normalization group or none")


def _check_schedule(settings: dict[str, Any]) -> None:
    task, epochs = settings["task"], settings["training"]["epochs"]
    if task["start"] and task["start"] >= epochs:
        raise ConfigError(f"task.start: {task['start']}, but training.epochs {epochs}; expected fewer")
    if not task["supervised"] and (task["start"] or not task["weight"]):
        why = f"nothing else trains before epoch {task['start']}" if task["start"] else "so is task.weight"
        raise ConfigError(f"task.supervised: 0, but {why}; expected a number above 0")
    if settings["training"]["compile"] and (slopes := _slopes(task)):
        raise ConfigError(f"training.compile: true, with task.{slopes[0]}: no second derivatives; expected false")
    _check_choice(task, settings["training"]["validation"], epochs)
    if task["noise_epochs"] is not None and task["noise"] is None:
        raise ConfigError("task.noise_epochs: without task.noise; expected its standard deviation")


def _check_choice(task: dict[str, Any], validation: dict[str, Any] | None, epochs: int) -> None:
    """Scores, where the model is chosen by them."""
    if task["choose"] != "last" and (validation is None or validation["every"] > max(1, epochs)):
        why = "null" if validation is None else f"every {validation['every']} of {epochs} epochs, so never"
        raise ConfigError(f"task.choose: {task['choose']}, but training.validation is {why}; expected last, or scores")


def _slopes(task: dict[str, Any]) -> list[str]:
    """The keys that ask for a penalty on the slope of the discriminator."""
    criterion = ["criterion.gradient_penalty"] if task["criterion"].get("gradient_penalty") else []
    return [key for key in ("r1", "r2") if task[key] is not None] + criterion
