"""The report stage: from the description of experiments to the page."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .. import __version__
from .page import write
from .results import results_of

__all__ = ["write_report"]

PACKAGES = ("snakemake", "torch", "numpy", "scipy", "h5py", "pandas", "matplotlib")


def write_report(settings: Mapping[str, Any], figures: Mapping[str, Mapping[str, str]], path: str) -> None:
    """Write the page of all experiments; `figures` are the SVG files by experiment and name."""
    drawn = {(experiment, name): file for experiment, files in figures.items() for name, file in files.items()}
    config = settings["config"]
    described = [{**known, "config": config["experiments"][known["name"]]} for known in settings["experiments"]]
    write(path, [results_of(known) for known in described], config, _provenance(settings), drawn)


def _provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"m2m_core": __version__, "python": platform.python_version(), **_versions()},
        "code": settings["code"],
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
