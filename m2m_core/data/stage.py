"""The data stage: from files, found or simulated, to the catalogue."""

from collections.abc import Mapping, Sequence
from typing import Any

from .. import registry
from ..errors import ConfigError
from . import folds
from .catalogue import Catalogue, Sample, build
from .sources import simulated

__all__ = ["find_samples", "make_catalogue"]


def make_catalogue(settings: Mapping[str, Any], files: Sequence[str]) -> Catalogue:
    """The catalogue of a dataset: samples paired by id, every file read once, folds assigned.

    Where targets are left out nothing is ever held out, and all samples are in fold 0, unless labels are learnt:
    `settings["tells"]`.

    `files`: those of a simulator, and tables of samples that are inspected already; none for a source that is read
    here. Time grows with the bytes of all files that are. Raises DataError for anything that is wrong with a file,
    ConfigError for folds that cannot be.
    """
    samples = find_samples(settings["source"], files)
    wanted = settings["folds"]
    if not settings.get("tells") and _lacks_targets(settings["source"], samples):
        return build(samples, {sample.id: 0 for sample in samples}, settings["on_nonfinite"])
    if wanted["given"] is not None:
        places = folds.given([sample.id for sample in samples], wanted["given"])
    else:
        groups = {sample.id: sample.group if wanted["by"] == "group" else sample.id for sample in samples}
        places = folds.assign(groups, wanted["count"] or 3, wanted["seed"])
    _check_groups(samples, places, wanted)
    return build(samples, places, settings["on_nonfinite"])


def _lacks_targets(source: Mapping[str, Any], samples: Sequence[Sample]) -> bool:
    """Whether files were found of inputs alone; a simulator whose samples have no target makes labels."""
    found = source["kind"] in registry.entries("source")
    return found and all("target" not in sample.fields for sample in samples)


def find_samples(source: Mapping[str, Any], files: Sequence[str]) -> list[Sample]:
    """The samples of a `source` section, or of the files that were made of it; their folds are still unknown."""
    if not files:
        options = {key: value for key, value in source.items() if key != "kind"}
        return registry.load("source", source["kind"])(**options)
    tables = [file for file in files if file.endswith(".csv")]
    fields = [file for file in files if not file.endswith(".csv")]
    return [
        *(simulated(fields) if fields else []),
        *(sample for file in tables for sample in Catalogue.read_part(file)),
    ]


def _check_groups(samples: Sequence[Sample], places: Mapping[str, int], wanted: Mapping[str, Any]) -> None:
    """Explicit folds by group must not split a group."""
    if wanted["given"] is None or wanted["by"] != "group":
        return
    seen: dict[str, int] = {}
    for sample in samples:
        if seen.setdefault(sample.group, places[sample.id]) != places[sample.id]:
            raise ConfigError(
                f"folds.given: group {sample.group!r} is in folds {seen[sample.group]} and {places[sample.id]}"
            )
