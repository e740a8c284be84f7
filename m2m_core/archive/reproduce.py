"""Make the report of an unpacked archive again, from its evaluations alone."""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .. import registry
from ..report.draw import draw
from ..report.results import results_of
from ..report.stage import described_by, write_report
from .contents import environment
from .manifest import verify

__all__ = ["OUTPUT", "reproduce"]

OUTPUT = "reproduced"
MATTER = ("m2m_core", "matplotlib", "numpy", "pandas", "jinja2", "torch", "snakemake", "scipy", "h5py")


def reproduce(say: Callable[[str], None]) -> None:
    """Check all files of the archive in the working directory, then make its figures and its page in `reproduced`.

    Raises DataError naming a file that is damaged. What differs from the archive is said, not refused: versions differ.
    """
    say(f"{verify('.')} files are as they were packed")
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    registry.use_plugins(report["plugins"])
    figures = _figures(report, say)
    page = f"{OUTPUT}/report.html"
    write_report(report["settings"], SimpleNamespace(**{**report, "figures": figures}), page)
    if _same(page, report["report"]):
        say(f"{page}: the same bytes as {report['report']}")
    else:
        say(f"{page}: not the bytes of {report['report']}; {_differences()}")


def _figures(report: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, dict[str, str]]:
    """Experiment -> figure -> file: drawn anew, or as it is in the archive."""
    described = {experiment["name"]: experiment for experiment in described_by(report["settings"])}
    kept = {tuple(pair) for pair in report["kept"]}
    used: dict[str, dict[str, str]] = {}
    for name, figures in report["figures"].items():
        for figure, path in figures.items():
            again = f"{OUTPUT}/{name}/{figure}.svg"
            verdict = "it shows fields" if (name, figure) in kept else _draw(described[name], figure, again)
            used.setdefault(name, {})[figure] = path if verdict else again
            told = (
                f"as it was packed: {verdict}" if verdict else "the same bytes" if _same(again, path) else "other bytes"
            )
            say(f"{name} {figure}: {told}")
    return used


def _draw(described: Mapping[str, Any], figure: str, path: str) -> str:
    """Draw a figure anew; returns why it cannot be, empty if it was."""
    try:
        draw(figure, results_of(described), path)
    except Exception as error:  # whatever a figure of a plugin says that reads what is not in the archive
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return ""


def _same(one: str, other: str) -> bool:
    return Path(one).read_bytes() == Path(other).read_bytes()


def _differences() -> str:
    """Which of the versions that matter are others than where the archive was made."""
    then, now = json.loads(Path("environment/environment.json").read_text(encoding="utf-8")), environment()
    pairs = {name: (then["packages"].get(name), now["packages"].get(name)) for name in MATTER}
    pairs |= {"python": (then["python"], platform.python_version()), "platform": (then["platform"], now["platform"])}
    changed = [f"{name} {old} then, {new} now" for name, (old, new) in pairs.items() if old != new]
    return "; ".join(changed) or "versions are the same"
