"""The report stage: from the description of experiments to the page."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from .context import SearchFiles
from .draw import save
from .figures.comparison import comparison
from .figures.search import search
from .page import write
from .results import results_of
from .trials import Trials

__all__ = ["described_by", "draw_comparison", "draw_search", "write_report"]

PACKAGES = ("snakemake", "torch", "numpy", "scipy", "h5py", "pandas", "matplotlib")


def draw_comparison(settings: Mapping[str, Any], path: str) -> None:
    """Write the figure of an ablation, of whose base and variants `settings` holds the descriptions."""
    members = [results_of(described) for described in settings["experiments"]]
    save(lambda: comparison(members), path)


def draw_search(settings: Mapping[str, Any], trials: str, path: str) -> None:
    """Write the figure of a search from the table of its trials."""
    save(lambda: search(Trials(Path(trials), settings["draw"])), path)


def write_report(settings: Mapping[str, Any], files: Any, path: str) -> None:
    """Write the page of all experiments.

    files: `figures`, SVG files by experiment and name; `comparisons`, by ablation; `searches`, files by ablation
    """
    drawn = {(experiment, name): file for experiment, paths in files.figures.items() for name, file in paths.items()}
    experiments = [results_of(described) for described in described_by(settings)]
    searches = {name: SearchFiles(**{k: Path(v) for k, v in paths.items()}) for name, paths in files.searches.items()}
    write(path, experiments, settings["config"], _provenance(settings), drawn, files.comparisons, searches)


def described_by(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The experiments of the page, each with its part of the config."""
    config = settings["config"]["experiments"]
    return [{**described, "config": config[described["name"]]} for described in settings["experiments"]]


def _provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"m2m_core": __version__, "python": platform.python_version(), **_versions()},
        "code": settings["code"],
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
