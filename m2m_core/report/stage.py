"""The report stage: from the description of experiments to the page."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .. import __version__
from .page import write
from .results import results_of

__all__ = ["described_by", "write_report"]

PACKAGES = ("snakemake", "torch", "numpy", "scipy", "h5py", "pandas", "matplotlib")


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
