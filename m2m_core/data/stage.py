"""The data stage: from files, found or simulated, to the catalogue."""

import glob
from collections.abc import Mapping, Sequence
from typing import Any

import h5py

from .. import registry
from ..errors import ConfigError
from . import folds
from .catalogue import Catalogue, Sample, build
from .sources import hdf5

__all__ = ["find_samples", "make_catalogue"]

EXTRAS = ("velocity", "density")  # what a simulator may add that nothing is compared with


def make_catalogue(settings: Mapping[str, Any], simulated: Sequence[str]) -> Catalogue:
    """The catalogue of a dataset: samples paired by id, every file read once, folds assigned.

    `simulated`: the files of a simulator, none for a source of files. Time grows with the bytes of all files. Raises
    DataError for anything that is wrong with a file, ConfigError for folds that cannot be.
    """
    samples = find_samples(settings["source"], simulated)
    wanted = settings["folds"]
    if wanted["given"] is not None:
        places = folds.given([sample.id for sample in samples], wanted["given"])
    else:
        groups = {sample.id: sample.group if wanted["by"] == "group" else sample.id for sample in samples}
        places = folds.assign(groups, wanted["count"] or 3, wanted["seed"])
    _check_groups(samples, places, wanted)
    return build(samples, places, settings["on_nonfinite"])


def find_samples(source: Mapping[str, Any], simulated: Sequence[str]) -> list[Sample]:
    """The samples of a `source` section, their digests and folds still unknown."""
    if not simulated:
        options = {key: value for key, value in source.items() if key != "kind"}
        return registry.load("source", source["kind"])(**options)
    files = [glob.escape(file) for file in simulated]
    with h5py.File(simulated[0], "r") as first:
        baselines = {name: files for name in first if name not in ("input", "target", *EXTRAS)}
    return hdf5(input=files, target=files, baselines=baselines)


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
