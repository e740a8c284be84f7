"""What a task asks of the rest of its experiment: networks, losses and examples of its family, labels to tell."""

import re
from typing import Any

from . import losses, registry
from .config import Config, Dataset, Experiment
from .config.families import LABELS, family_of, kind_of_labels
from .config.slices import Slices
from .data.parameters import KNOWN, names_in
from .errors import ConfigError
from .wording import hint, shown

__all__ = ["check", "check_predictions"]

FOR_CROPS = ("augment_factor", "augment_offset", "farthest_shift")  # keys of training
WORD = re.compile(r"{(\w+)}")


def check(experiment: Experiment, dataset: Dataset) -> None:
    """Raise ConfigError naming the key of an experiment that does not fit its task."""
    _check_kinds(experiment)
    if family_of(experiment.task) is LABELS:
        _check_examples(experiment)
        _check_labels(experiment, dataset)
    else:
        _check_fields(experiment, dataset)


def check_predictions(config: Config) -> None:
    """Refuse predictions of experiments that tell labels: those of held-out samples are in the report."""
    for name, chosen in config.predictions.items():
        if family_of(config.experiments[chosen.experiment].task) is LABELS:
            text = f"{shown(chosen.experiment)} tells labels; expected one that predicts fields"
            raise ConfigError(f"predictions.{name}.experiment: {text}")


def _check_kinds(experiment: Experiment) -> None:
    """Model, losses and measures of the kinds that the task takes: a field, or labels of one."""
    task: Any = experiment.task
    family, chosen = family_of(task), {"model": experiment.model, "loss": experiment.loss}
    for key, value in {**chosen, "evaluation": experiment.evaluation}.items():
        entries = registry.entries(getattr(family, key))
        for one in value if isinstance(value, list) else [value]:
            if (name := dict(one)["name"]) not in entries:
                where = f"{key}{'.name' if key == 'model' else ''}"
                text = f"{name!r} is not for task {task['name']!r}; expected one of {', '.join(entries)}"
                raise ConfigError(f"{where}: {text}")


def _check_fields(experiment: Experiment, dataset: Dataset) -> None:
    """Crops of two fields."""
    source: Any = dict(dataset.source)
    if isinstance(experiment.crops, Slices):
        raise ConfigError("crops.kind: is for tasks that tell labels, such as field_to_label; expected crops.size")
    if source["kind"] == "cubes":
        raise ConfigError("dataset: its source has no target; expected one, or task field_to_label")


def _check_examples(experiment: Experiment) -> None:
    """Slices or whole samples, without what belongs to crops."""
    if not isinstance(experiment.crops, Slices):
        raise ConfigError("crops: of a task that tells labels; expected {kind: slices} or {kind: whole}")
    for key in FOR_CROPS:
        if getattr(experiment.training, key) is not None:
            raise ConfigError(f"training.{key}: is for crops of two fields; expected null where labels are told")


def _check_labels(experiment: Experiment, dataset: Dataset) -> None:
    """Labels that the samples have, as many as the task takes, and losses for them."""
    task, training = dict(experiment.task), experiment.training
    kind, names = kind_of_labels(task), task["labels"]
    if kind != "regression" and len(names) > 1:
        raise ConfigError(f"task.labels: {len(names)} for answer {kind}; expected one, or regression")
    if (kind == "classes") != (task["classes"] is not None):
        raise ConfigError(f"task.classes: {task['classes']}, for answer {kind}; expected a number for classes alone")
    if kind == "regression" and task["label_noise"]:
        raise ConfigError("task.label_noise: there are no wrong classes to give in a regression; expected 0.0")
    if known := _known(dataset):
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f"task.labels: the samples have no number {unknown[0]!r}; {hint(unknown[0], known)}")
    chosen: Any = experiment.loss
    losses.check_labels(chosen, kind, training.accumulate * training.gpus * training.nodes)


def _known(dataset: Dataset) -> list[str]:
    """The numbers of a sample that are told before it is read, none where only the files know them."""
    source: Any = dict(dataset.source)
    kind = source["kind"]
    if kind in registry.entries("numbers"):
        return [*KNOWN, *registry.load("numbers", kind)()]
    if kind == "cubes":
        table = [*source["labels"], *WORD.findall(f"{source['input']}{source['dataset']}")]
    elif "parameters" in source:
        table = []
    else:
        return []
    given = source["parameters"]
    return [*KNOWN, *table, *(names_in(given) if isinstance(given, str) else given or [])]
