"""The report of a run that failed: what is there, and which folds are missing. Run as a module, by the driver."""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .draw import draw
from .results import results_of
from .stage import write_report

__all__ = ["write_partial"]


def write_partial(settings: Mapping[str, Any], figures: Mapping[str, list[str]], path: str | Path) -> bool:
    """Write the page of all experiments of which at least one fold is evaluated; False, and no page, if there is none.

    `figures`: experiment -> names of its figures, which are drawn anew.
    """
    described = [d for d in settings["experiments"] if Path(d["catalogue"]).exists() and results_of(d).evaluated]
    if not described:
        return False
    with tempfile.TemporaryDirectory() as folder:
        drawn = {d["name"]: _drawn(d, figures[d["name"]], Path(folder)) for d in described}
        files = SimpleNamespace(figures=drawn, comparisons={}, searches={})
        write_report({**settings, "experiments": described}, files, str(path))
    return True


def _drawn(described: Mapping[str, Any], names: list[str], folder: Path) -> dict[str, str]:
    results = results_of(described)
    files = {name: str(folder / f"{described['name']}-{name}.svg") for name in names}
    for name, file in files.items():
        draw(name, results, file)
    return files


if __name__ == "__main__":
    sys.exit(not write_partial(**json.load(sys.stdin)))
