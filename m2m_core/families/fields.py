"""Families that make a field of a field: a target to learn, crops of both, losses and metrics of fields."""

from typing import Any

from .. import losses, registry
from ..config import Dataset, Experiment
from ..config.slices import Slices
from ..errors import ConfigError
from ..family import Family
from ..registry import register
from ..wording import shown

__all__ = ["field_to_field"]

KINDS = {"model": "model", "loss": "loss", "evaluation": "metric", "figure": "figure"}
NEEDS = {  # the metrics that figures draw
    "power": "power_spectrum",
    "transfer": "power_spectrum",
    "correlation": "cross_correlation",
    "one_point": "one_point",
}
OF_DRAWS = ("draws", "ranks")  # figures of several predictions of each sample


@register("family", "field_to_field")
def field_to_field() -> Family:
    """One field of another."""
    return Family(KINDS, figures, check, check_loss)


def figures(experiment: Experiment) -> list[str]:
    """Those that what is measured allows."""
    metrics: Any = experiment.evaluation
    measured = {metric["name"] for metric in metrics}
    known = registry.entries(KINDS["figure"])
    allowed = [name for name in known if experiment.inference.draws > 1 or name not in OF_DRAWS]
    return [name for name in allowed if NEEDS.get(name) is None or NEEDS[name] in measured]


def check(experiment: Experiment, dataset: Dataset) -> None:
    """Something to learn, and crops of it."""
    if isinstance(experiment.crops, Slices):
        raise ConfigError("crops.kind: is for tasks that tell labels, such as field_to_label; expected crops.size")
    if dict(dataset.source)["kind"] == "cubes":
        raise ConfigError("dataset: its source has no target; expected one, or task field_to_label")
    if not dataset.has_target:
        text = f"{shown(experiment.dataset)} has no source.target to learn from"
        raise ConfigError(f"dataset: {text}; expected one that has, or to predict it under predictions")


def check_loss(experiment: Experiment, dataset: Dataset, space: dict[str, tuple[int, ...]] | None) -> None:
    """A target that the loss can take, as far as it is known."""
    source = dict(dataset.source)
    known: dict[str, Any] = {"quantities": _quantities(source)}
    if space:
        edges = _learnt(experiment.crops, len(space["input"]))
        finer = [m // n for m, n in zip(space["target"], space["input"], strict=True)]
        known["space"] = tuple(factor * n for factor, n in zip(finer, edges, strict=True))
    if space and isinstance(length := source.get("box_size"), int | float):
        known["cell"] = tuple(length / n for n in space["target"])
    chosen: Any = experiment.loss
    losses.check(chosen, losses.Target(*experiment.normalize.told("target"), **known), plugins=False)


def _learnt(crops: Any, dims: int) -> list[int]:
    """Edges of a crop with its target halo [voxels of the input]."""
    size = [crops.size] * dims if isinstance(crops.size, int) else crops.size
    halo = [crops.target_halo] * dims if isinstance(crops.target_halo, int) else crops.target_halo
    return [n + (2 * one if isinstance(one, int) else sum(one)) for n, one in zip(size, halo, strict=True)]


def _quantities(source: dict[str, Any]) -> list[tuple[str, None]] | None:
    """Those of the target's parts where the config alone says them: .npy files do not."""
    if source["kind"] != "npy":
        return None
    target, given = source["target"], source["quantities"]
    parts = list(target) if isinstance(target, dict) else ["target"]
    names = [(f"target.{part}", part, "target") for part in parts]
    return [(next((given[name] for name in each if name in given), "scalar"), None) for each in names]
