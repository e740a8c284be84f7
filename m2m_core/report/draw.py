"""A figure by name -> an SVG file whose bytes depend on nothing but the results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .. import registry
from ..files import write_whole
from . import style
from .results import ExperimentResults

__all__ = ["draw", "figure", "kind_of", "save"]


def kind_of(name: str) -> str:
    """The kind of the registry that a figure is of: of fields, or of labels."""
    return "label_figure" if name in registry.entries("label_figure") else "figure"


def figure(name: str, results: ExperimentResults, options: Mapping[str, Any] | None = None) -> Figure:
    """The figure registered as `name`, in the style of the report; raises ConfigError for an unknown name or option."""
    checked = registry.check(kind_of(name), name, options or {})
    with style.applied():
        return registry.load(kind_of(name), name)(results, **checked)


def draw(name: str, results: ExperimentResults, path: str | Path, options: Mapping[str, Any] | None = None) -> None:
    """Write the figure registered as `name` as SVG."""
    checked = registry.check(kind_of(name), name, options or {})
    save(lambda: registry.load(kind_of(name), name)(results, **checked), path)


def save(make: Callable[[], Figure], path: str | Path) -> None:
    """Write the figure that `make()` draws as SVG, whole or not at all. Text is outlines: it needs no font."""
    with style.applied():
        drawn = make()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        write_whole(path, lambda stream: drawn.savefig(stream, format="svg", metadata=metadata))
