"""The family that tells labels of fields: slices or whole samples, encoders, losses and baselines of labels."""

import re
from collections.abc import Mapping
from typing import Any

from .. import losses, registry
from ..config import Dataset, Experiment
from ..config.keys import Inference
from ..config.normal import Normalize
from ..config.slices import Slices
from ..data.parameters import KNOWN, names_in
from ..errors import ConfigError
from ..family import Family
from ..registry import register
from ..wording import hint, shown

__all__ = ["field_to_label"]

KINDS = {"model": "encoder", "loss": "label_loss", "evaluation": "label_baseline", "figure": "label_figure"}
LOSSES = {"binary": "binary_cross_entropy", "classes": "categorical_cross_entropy", "regression": "gaussian_likelihood"}
BASELINES = ["power_spectrum_baseline"]
OF_ALL = ("learning",)  # figures of every family
OF_CLASSES, OF_PARAMETERS = ("roc", "reliability", "confusion"), ("recovery",)  # what labels are decides
JUDGING = ("answer", "classes", "labels")
FOR_FIELDS = ("tile", "overlap", "draws")  # keys of inference
FOR_CROPS = ("augment_factor", "augment_offset", "farthest_shift")  # keys of training
WORD = re.compile(r"{(\w+)}")


@register("family", "field_to_label")
def field_to_label() -> Family:
    """Labels of a field."""
    return Family(KINDS, figures, check, defaults=defaults, judging=JUDGING, needs_target=False, tells=True)


def kind_of(task: Any) -> str:
    """What the labels of a task are, "binary" unless it says so."""
    return task.get("answer", "binary") if isinstance(task, Mapping) else "binary"


def defaults(task: Any) -> dict[str, Any]:
    """The loss of its labels, and a baseline."""
    return {"loss": LOSSES.get(kind_of(task), LOSSES["binary"]), "evaluation": BASELINES}


def figures(experiment: Experiment) -> list[str]:
    """Those of what the labels are."""
    foreign = OF_CLASSES if kind_of(experiment.task) == "regression" else OF_PARAMETERS
    return [*OF_ALL, *(name for name in registry.entries(KINDS["figure"]) if name not in foreign)]


def check(experiment: Experiment, dataset: Dataset) -> None:
    """Examples of samples as wholes or slices, and labels that they have."""
    _check_examples(experiment)
    _check_prediction(experiment)
    _check_labels(experiment, dataset)


def _check_examples(experiment: Experiment) -> None:
    """Slices or whole samples, without what belongs to crops."""
    if not isinstance(experiment.crops, Slices):
        raise ConfigError("crops: of a task that tells labels; expected {kind: slices} or {kind: whole}")
    for key in FOR_CROPS:
        if getattr(experiment.training, key) is not None:
            raise ConfigError(f"training.{key}: is for crops of two fields; expected null where labels are told")


def _check_prediction(experiment: Experiment) -> None:
    """Nothing of what is for predicted fields."""
    for key in FOR_FIELDS:
        if (given := getattr(experiment.inference, key)) != getattr(Inference(), key):
            raise ConfigError(f"inference.{key}: {shown(given)}, but labels are told, no fields; expected no such key")
    if experiment.normalize.told("target") != ("identity", Normalize().target):
        raise ConfigError("normalize.target: labels are no field; expected no such key")


def _check_labels(experiment: Experiment, dataset: Dataset) -> None:
    """Labels that the samples have, as many as the task takes, and losses for them."""
    task, training = dict(experiment.task), experiment.training
    kind, names = kind_of(task), task["labels"]
    if kind != "regression" and len(names) > 1:
        raise ConfigError(f"task.labels: {len(names)} for answer {kind}; expected one, or regression")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"task.labels: {twice[0]!r} stands twice; expected each once")
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
    if registry.is_ours("numbers", kind):
        return [*KNOWN, *registry.load("numbers", kind)()]
    if kind == "cubes":
        table = [*source["labels"], *WORD.findall(f"{source['input']}{source['dataset']}")]
    elif "parameters" in source:
        table = []
    else:
        return []
    given = source["parameters"]
    return [*KNOWN, *table, *(names_in(given) if isinstance(given, str) else given or [])]
