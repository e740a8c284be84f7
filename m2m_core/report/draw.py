"""A figure by name -> an SVG file whose bytes depend on nothing but the results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .. import registry
from ..family import figure_of
from ..files import write_whole
from . import style
from .results import ExperimentResults

__all__ = ["draw", "figure", "save"]


def figure(name: str, results: ExperimentResults, options: Mapping[str, Any] | None = None) -> Figure:
    """The figure registered as `name`, in the style of the report; raises ConfigError for an unknown name or option."""
    kind = figure_of(name).kind
    checked = registry.check(kind, name, options or {})
    with style.applied():
        return registry.load(kind, name)(results, **checked)


def draw(name: str, results: ExperimentResults, path: str | Path, options: Mapping[str, Any] | None = None) -> None:
    """Write the figure registered as `name` as SVG."""
    kind = figure_of(name).kind
    checked = registry.check(kind, name, options or {})
    save(lambda: registry.load(kind, name)(results, **checked), path)


def save(make: Callable[[], Figure], path: str | Path) -> None:
    """Write the figure that `make()` draws as SVG, whole or not at all. Text is outlines: it needs no font."""
    with style.applied():
        drawn = make()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        write_whole(path, lambda stream: drawn.savefig(stream, format="svg", metadata=metadata))
