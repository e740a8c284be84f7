"""The report stage: from the description of experiments to what figures and the page read."""

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
from .results import ExperimentResults
from .trials import Trials

__all__ = ["draw_comparison", "draw_search", "results_of", "write_report"]

PACKAGES = ("snakemake", "torch", "numpy", "scipy", "h5py", "pandas", "matplotlib")


def results_of(described: Mapping[str, Any]) -> ExperimentResults:
    """The results of an experiment as the workflow describes it: name, label, base, config, folds, catalogue."""
    folds = {int(k): {name: Path(path) for name, path in files.items()} for k, files in described["folds"].items()}
    keys = {key: described[key] for key in ("name", "label", "base", "config", "ablation")}
    return ExperimentResults(**keys, folds=folds, catalogue_path=Path(described["catalogue"]))


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
    experiments = [results_of(described) for described in settings["experiments"]]
    searches = {name: SearchFiles(**{k: Path(v) for k, v in paths.items()}) for name, paths in files.searches.items()}
    write(path, experiments, settings["config"], _provenance(settings), drawn, files.comparisons, searches)


def _provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"m2m_core": __version__, "python": platform.python_version(), **_versions()},
        "code": settings["code"],
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
