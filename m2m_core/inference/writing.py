"""Predictions as files for other programs: arrays of NumPy, or HDF5 with the datasets of the target that was learnt."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data import predictions
from ..data.catalogue import Catalogue, Part, Sample
from ..errors import ConfigError, DataError
from ..files import replaced

__all__ = ["Piece", "layout", "path_of", "write"]


@dataclass(frozen=True)
class Piece:
    """Some channels of the target, as its files hold them; `part` is "" where the target is undivided."""

    part: str
    dataset: str  # in an HDF5 file
    quantity: str
    channels: slice


def write(settings: Mapping[str, Any], files: Any, folder: str, job: Any) -> str:
    """Write every predicted sample below `folder`, which is the workflow's own; returns a line about it.

    files: `predictions`, one file or one of each fold; the catalogues `samples`, of what is predicted, and
    `catalogue`, of what was learnt. Memory is that of a chunk. Raises ConfigError when two samples take one path.
    """
    found = {name: path for path in files.predictions for name in _names(path)}
    samples = [sample for sample in Catalogue.read(files.samples) if sample.id in found]
    if lacking := found.keys() - {sample.id for sample in samples}:
        raise DataError(f"{found[min(lacking)]}: prediction of unknown {min(lacking)}; delete it to predict anew")
    pieces = layout(Catalogue.read(files.catalogue).samples[0].parts("target"), settings["parts"])
    each = [(sample, piece) for sample in samples for piece in pieces]
    Path(folder).mkdir(parents=True, exist_ok=True)
    _WRITERS[settings["kind"]](each, found, settings, Path(folder))
    return f"{len(samples)} samples"


def layout(parts: Sequence[Part], names: Sequence[str]) -> list[Piece]:
    """The pieces of a target, in the order of its channels; `names` are those of its parts."""
    inside = [part.dataset for part in parts]
    if "" in inside or len(set(inside)) < len(inside):  # of .npy, or of equal datasets in several files
        inside = [name or "target" for name in names]
    channels = pairwise(accumulate((part.shape[0] for part in parts), initial=0))
    each = zip(parts, names, inside, channels, strict=True)
    return [Piece(name, dataset, part.quantity, slice(*ends)) for part, name, dataset, ends in each]


def path_of(folder: Path, pattern: str, sample: str, part: str) -> Path:
    """The file of a sample and part; raises DataError for a name that leads out of the folder."""
    path = Path(os.path.normpath(folder / pattern.replace("{id}", sample).replace("{part}", part)))
    if not path.is_relative_to(os.path.normpath(folder)) or "/" in sample + part:
        raise DataError(f"sample id {sample!r}: leads out of {folder}; expected a name")
    return path


Each = Sequence[tuple[Sample, Piece]]


def _npy(each: Each, found: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> None:
    """One array (channels, *space) a sample and part."""
    pattern = settings["path"] or ("{id}_{part}.npy" if settings["parts"] != [""] else "{id}.npy")
    paths = [path_of(folder, pattern, sample.id, piece.part) for sample, piece in each]
    _refuse_same(paths)
    for path, (sample, piece) in zip(paths, each, strict=True):
        with replaced(path) as temporary, _values(found[sample.id], sample.id, piece) as (shape, blocks):
            array = np.lib.format.open_memmap(temporary, "w+", settings["dtype"], shape)
            for place, block in blocks:
                array[place] = block
            array.flush()


def _hdf5(each: Each, found: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> None:
    """The datasets of the target in a file a sample, or in a group a sample of one file; both describe themselves."""
    pattern = settings["path"] or "{id}.h5"
    shared = "{id}" not in pattern
    paths = {sample.id: path_of(folder, pattern, sample.id, "") for sample, _ in each}
    if not shared:
        _refuse_same(list(paths.values()))
    for path in dict.fromkeys(paths.values()):
        with replaced(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
            for sample, piece in ((s, p) for s, p in each if paths[s.id] == path):
                name = f"{sample.id}/{piece.dataset}" if shared else piece.dataset
                with _values(found[sample.id], sample.id, piece) as (shape, blocks):
                    dataset = file.create_dataset(name, shape, settings["dtype"])
                    for place, block in blocks:
                        dataset[place] = block
                    dataset.attrs.update({"quantity": piece.quantity, **_physics(sample)})
                if not shared:
                    file.attrs.update(_physics(sample))


_WRITERS = {"npy": _npy, "hdf5": _hdf5}


def _physics(sample: Sample) -> dict[str, Any]:
    known = {"box_size": list(sample.box_size), "redshift": sample.redshift, "omega_m": sample.omega_m}
    return {**sample.parameters, **known, "periodic": [int(flag) for flag in sample.around]}


def _names(path: str) -> list[str]:
    with predictions.opened(path) as file:
        return predictions.names(file)


@contextlib.contextmanager
def _values(path: str, name: str, piece: Piece) -> Iterator[tuple[tuple[int, ...], Iterator[predictions.Block]]]:
    """Shape of some channels of a predicted sample, and their values chunk by chunk."""
    with predictions.opened(path) as file:
        values, first = file[name], piece.channels.start
        shape = piece.channels.stop - first, *values.shape[1:]
        wanted = (piece.channels, *(slice(0, n) for n in shape[1:]))
        yield (
            shape,
            (
                ((slice(place[0].start - first, place[0].stop - first), *place[1:]), values[place])
                for place in values.iter_chunks(wanted)
            ),
        )


def _refuse_same(paths: Sequence[Path]) -> None:
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        raise ConfigError(f"write.path: two samples make {twice[0].name}; expected a path for each")
