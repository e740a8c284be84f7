"""The archive stage: everything into one zip file, whose bytes depend on its contents alone."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..files import digest, replaced
from ..report.draw import draw
from ..report.results import results_of
from ..report.stage import described_by
from .contents import Portable, code, environment, requirements
from .manifest import MANIFEST
from .readme import README

__all__ = ["pack"]

FOLDER = "m2m-archive"  # into which it unpacks
REPLACED = "config/config.yaml"  # by the config that was used
Source = Path | bytes


def pack(settings: Mapping[str, Any], results: Iterable[str], output: str | Path) -> str:
    """Write the archive of the files `results`; returns a line about it.

    A figure that the archive's own contents draw with the same bytes will be drawn anew, any other is kept as it is:
    it shows fields, which are not in the archive.
    """
    portable = Portable(settings["results"], settings["plugins"])
    report = settings["report"]
    kept = _kept(report)
    files: dict[str, Source] = {**code(), **portable.plugin_files()}
    files[REPLACED] = settings["config"].encode()
    files["environment/requirements.txt"] = requirements().encode()
    files["environment/environment.json"] = _json(environment())
    files["report.json"] = _json(_portable(report, kept, portable))
    files["README.md"] = README.encode()
    files |= {portable.path(path): Path(path) for path in results}  # in the order in which they are made
    files[MANIFEST] = _manifest(files)
    with replaced(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in files.items():
            _add(archive, f"{FOLDER}/{name}", source)
    note = f"; kept as they are: {', '.join(' '.join(pair) for pair in kept)}" if kept else ""
    return f"{len(files)} files, {Path(output).stat().st_size / 1e6:.1f} MB{note}"


def _kept(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(experiment, figure) of the figures that cannot be drawn without fields."""
    described = {experiment["name"]: experiment for experiment in described_by(report["settings"])}
    pairs = [(name, figure, path) for name, figures in report["figures"].items() for figure, path in figures.items()]
    return [(name, figure) for name, figure, path in pairs if not _is_drawn_alike(described[name], figure, path)]


def _is_drawn_alike(described: Mapping[str, Any], figure: str, path: str) -> bool:
    folds = {k: {n: p for n, p in files.items() if n != "predictions.h5"} for k, files in described["folds"].items()}
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "figure.svg")
        try:
            draw(figure, results_of({**described, "folds": folds}), again)
        except Exception:  # whatever a figure says when its fields are missing
            return False
        return again.read_bytes() == Path(path).read_bytes()


def _portable(report: Mapping[str, Any], kept: list[tuple[str, str]], portable: Portable) -> dict[str, Any]:
    """What it takes to make the report again: its settings, figures, and which of them are kept as they are."""
    settings = report["settings"]
    experiments = [portable.description(experiment) for experiment in settings["experiments"]]
    figures = {name: {f: portable.path(path) for f, path in paths.items()} for name, paths in report["figures"].items()}
    return {
        "settings": {**settings, "experiments": experiments},
        "figures": figures,
        "comparisons": {name: portable.path(path) for name, path in report["comparisons"].items()},
        "searches": {n: {f: portable.path(path) for f, path in s.items()} for n, s in report["searches"].items()},
        "kept": kept,
        "plugins": list(portable.plugins.values()),
        "report": portable.path(report["path"]),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _manifest(files: Mapping[str, Source]) -> bytes:
    sums = {name: sha256(s).hexdigest() if isinstance(s, bytes) else digest(s) for name, s in files.items()}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def _add(archive: zipfile.ZipFile, name: str, source: Source) -> None:
    """A member without date, owner and rights, read block by block."""
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    if isinstance(source, bytes):
        archive.writestr(info, source)
        return
    info.file_size = source.stat().st_size
    with open(source, "rb") as stream, archive.open(info, "w") as member:
        shutil.copyfileobj(stream, member, 2**20)
