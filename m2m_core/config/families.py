"""Families by what their networks make, fields or labels: the kinds of code that each chooses from, and defaults."""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["FIELDS", "LABELS", "Family", "defaults", "family_of", "kind_of_labels"]


class Family(NamedTuple):
    """The kinds of the registry that the keys `model`, `loss` and `evaluation` of an experiment name."""

    model: str
    loss: str
    evaluation: str


FIELDS = Family("model", "loss", "metric")
LABELS = Family("encoder", "label_loss", "label_baseline")
MADE_OF = {"field_to_label": LABELS}
LOSSES = {"binary": "binary_cross_entropy", "classes": "categorical_cross_entropy", "regression": "gaussian_likelihood"}
BASELINES = ["power_spectrum_baseline"]


def family_of(task: Any) -> Family:
    """What a task, by its name or with its options, chooses from."""
    return MADE_OF.get(task if isinstance(task, str) else task.get("name"), FIELDS)


def kind_of_labels(task: Any) -> str:
    """What the labels of a task are, "binary" unless it says so."""
    return task.get("answer", "binary") if isinstance(task, Mapping) else "binary"


def defaults(task: Any) -> dict[str, Any]:
    """Keys of an experiment whose defaults are others in the family of this task."""
    if family_of(task) is not LABELS:
        return {}
    return {"loss": LOSSES.get(kind_of_labels(task), LOSSES["binary"]), "evaluation": BASELINES}
