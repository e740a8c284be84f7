"""The report stage: from the description of experiments to what figures and the page read."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from .page import write
from .results import ExperimentResults

__all__ = ["described_by", "results_of", "write_report"]

PACKAGES = ("snakemake", "torch", "numpy", "scipy", "h5py", "pandas", "matplotlib")


def results_of(described: Mapping[str, Any]) -> ExperimentResults:
    """The results of an experiment as the workflow describes it: name, label, base, config, folds, catalogue."""
    folds = {int(k): {name: Path(path) for name, path in files.items()} for k, files in described["folds"].items()}
    keys = {key: described[key] for key in ("name", "label", "base", "config")}
    return ExperimentResults(**keys, folds=folds, catalogue_path=Path(described["catalogue"]))


def write_report(settings: Mapping[str, Any], figures: Mapping[str, Mapping[str, str]], path: str) -> None:
    """Write the page of all experiments; `figures` are the SVG files by experiment and name."""
    drawn = {(experiment, name): file for experiment, files in figures.items() for name, file in files.items()}
    experiments = [results_of(described) for described in described_by(settings)]
    write(path, experiments, settings["config"], _provenance(settings), drawn)


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
