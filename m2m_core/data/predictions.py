"""Predicted samples on disk: one HDF5 file a fold, written block by block, every chunk with a checksum."""

import contextlib
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import DataError, Diverged, RunError
from ..files import replaced

__all__ = ["Block", "add", "add_beside", "beside", "check", "covering", "create", "draws", "names", "opened", "read"]

Block = tuple[tuple[slice, ...], np.ndarray]  # where in the whole, values
CHUNK = 2**20  # most values of one HDF5 chunk
CACHE = 2**26  # bytes of chunks that are kept until they are full
LISTED = 5
BESIDE, DRAWS = "_beside", "_draws"  # no sample is called so
FILTERS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}


@contextlib.contextmanager
def create(path: str | Path, attributes: Mapping[str, Any]) -> Iterator[h5py.File]:
    """A file to `add` samples to; it appears at `path` when the block ends well, with `attributes`, `complete` = 1."""
    with replaced(path) as temporary, h5py.File(temporary, "w", libver="latest", rdcc_nbytes=CACHE) as file:
        yield file
        file.attrs.update({**attributes, "complete": 1})


def add(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    blocks: Iterable[Block],
    attributes: Mapping[str, Any],
    compression: str,
    draw: int = 0,
) -> None:
    """Write sample `name`, (C, *space) float32, from (place, values) blocks; memory is that of one block.

    draw: of several predictions of the sample the number; those behind the first are kept beside

    Raises Diverged on a value that is not finite, RunError unless the blocks hold every voxel once.
    """
    where = f"{DRAWS}/{name}/{draw}" if draw else name
    dataset = file.create_dataset(where, shape, "f4", chunks=_chunks(shape), fletcher32=True, **FILTERS[compression])
    dataset.attrs.update(attributes)
    for place, block in covering(shape, blocks, f"sample {name!r}"):
        if not np.isfinite(block).all():
            bad = block.size - np.count_nonzero(np.isfinite(block))
            raise Diverged(f"sample {name!r}: {bad} predicted values are not finite; look at its input, or train anew")
        dataset[place] = block


def add_beside(file: h5py.File, name: str, arrays: Iterable[tuple[str, np.ndarray]], compression: str) -> None:
    """Keep further arrays of sample `name`, by their names; raises Diverged on a value that is not finite."""
    for key, values in arrays:
        if not np.isfinite(values).all():
            raise Diverged(f"sample {name!r}: {key} has values that are not finite; train anew")
        group = file.require_group(f"{BESIDE}/{name}")
        group.create_dataset(key, data=values, chunks=values.shape, fletcher32=True, **FILTERS[compression])


def names(file: h5py.File) -> list[str]:
    """The samples of a file."""
    return [name for name in file if name not in (BESIDE, DRAWS)]


def draws(file: h5py.File, name: str) -> list[h5py.Dataset]:
    """The predictions of sample `name`, (C, *space) each, which are read as they are sliced; often one."""
    more = file.get(f"{DRAWS}/{name}", {})
    return [file[name], *(more[str(number)] for number in range(1, len(more) + 1))]


def beside(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Sample -> what is kept of it beside its prediction, by name; raises DataError on a damaged file."""
    with opened(path) as file:
        kept = file.get(BESIDE, {})
        return {name: {key: kept[name][key][...] for key in kept[name]} for name in kept}


def covering(shape: tuple[int, ...], blocks: Iterable[Block], what: str = "a sample") -> Iterator[Block]:
    """The blocks as they come; at the end raises RunError unless they held every value of `shape` exactly once."""
    places = []
    for place, block in blocks:
        places.append([piece.indices(n)[:2] for piece, n in itertools.zip_longest(place, shape, fillvalue=slice(None))])
        yield place, block
    if wrong := _not_once(np.array(places, np.int64).reshape(-1, len(shape), 2), shape):
        raise RunError(
            f"{what}: {wrong} of {math.prod(shape)} values are not predicted exactly once; expected each once"
        )


def _not_once(places: np.ndarray, shape: tuple[int, ...]) -> int:
    """How many values are in none, or in several, of the boxes (boxes, axes, first and last + 1).

    Voxels between the same faces are counted as one: memory grows with the number of boxes.
    """
    faces = [np.unique([0, length, *places[:, axis].ravel()]) for axis, length in enumerate(shape)]
    times = np.zeros([len(edges) - 1 for edges in faces], np.int32)
    cells = [np.searchsorted(edges, places[:, axis]) for axis, edges in enumerate(faces)]
    for box in zip(*cells, strict=True):
        times[tuple(slice(*ends) for ends in box)] += 1
    volume = functools.reduce(np.multiply.outer, (np.diff(edges) for edges in faces))
    return int(volume[times != 1].sum())


def check(path: str | Path, shapes: Mapping[str, tuple[int, ...]], model: str) -> None:
    """Refuse a file that does not hold exactly the samples `shapes` (id -> (C, *space)), predicted by `model`.

    Raises DataError with the ids; cost grows with the number of samples, not with their size.
    """
    with opened(path) as file:
        found = {name: tuple(file[name].shape) for name in names(file)}
        made_by, complete = str(file.attrs.get("model", "")), file.attrs.get("complete", 0) == 1
    problems = {
        "no prediction of": [name for name in shapes if name not in found],
        "prediction of unknown": [name for name in found if name not in shapes],
        "another shape for": [
            f"{name} {found[name]}, expected {tuple(shape)}"
            for name, shape in shapes.items()
            if found.get(name, tuple(shape)) != tuple(shape)
        ],
    }
    texts = [f"{problem} {_some(names)}" for problem, names in problems.items() if names]
    if not complete:
        texts = ["not complete"]
    if not texts and made_by != model:
        texts = [f"made by model {made_by[:12]}, not by {model[:12]}"]
    if texts:
        raise DataError(f"{path}: {'; '.join(texts)}; delete it to predict anew")


def read(path: str | Path, name: str) -> np.ndarray:
    """Sample `name`, (C, *space) float32; raises DataError on a missing sample, a damaged file, a failed checksum."""
    with opened(path) as file:
        if name not in file:
            raise DataError(f"{path}: no prediction of sample {name!r}; it has {_some(sorted(names(file)))}")
        return file[name][...]


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """A file that was `create`d, for reading; raises DataError when it is not one."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not readable: {reason}; delete it to predict anew") from error


def _some(names: list[str]) -> str:
    text = ", ".join(names[:LISTED]) or "nothing"
    return f"{text}, ... ({len(names)})" if len(names) > LISTED else text


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One channel, and the largest power-of-two edge that keeps a chunk small."""
    edge = 1 << (max(1, round(CHUNK ** (1 / (len(shape) - 1)))).bit_length() - 1)
    return 1, *(min(edge, n) for n in shape[1:])
