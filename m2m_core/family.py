"""What tasks of one family take from the other keys of their experiment: known without torch, before any job runs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from . import registry
from .registry import Entry

__all__ = ["Family", "family_of", "figure_of"]


def _nothing(*given: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Family:
    """Which code the keys of an experiment name, and what is asked of them.

    kinds: key of an experiment, or `figure` -> the kind of the registry that it names
    figures: experiment -> names of its figures
    check: (experiment, dataset) raises ConfigError naming the key of the experiment that does not fit
    check_sizes: (experiment, dataset, edges of its fields by name [voxels], if they are known) the same, of what
        crops decide
    check_search: (experiment, values that a search drew) the same, of what makes scores comparable
    defaults: task -> keys of the experiment whose defaults are others
    judging: options of the task that decide what its validation score is of
    needs_target: whether it learns a second field, which the dataset has to have
    tells: whether what it predicts are labels, tables of them, and not fields
    """

    kinds: Mapping[str, str]
    figures: Callable[[Any], list[str]]
    check: Callable[[Any, Any], Any]
    check_sizes: Callable[[Any, Any, Any], Any] = _nothing
    check_search: Callable[[Any, Any], Any] = _nothing
    defaults: Callable[[Any], dict[str, Any]] = _nothing
    judging: Collection[str] = ()
    needs_target: bool = True
    tells: bool = False


def family_of(task: Any) -> Family:
    """That of a task, by its name or with its options: that of fields, unless one is registered under its name."""
    name = task if isinstance(task, str) else task.get("name")
    return registry.load("family", name if registry.is_ours("family", name) else "field_to_field")()


def figure_of(name: str) -> Entry:
    """The figure that some family calls `name`; raises ConfigError."""
    kinds = {registry.load("family", family)().kinds["figure"] for family in registry.entries("family")}
    known = {other: entry for kind in sorted(kinds) for other, entry in registry.entries(kind).items()}
    return known[name] if name in known else registry.find("figure", name)
