"""Predicted samples on disk: one HDF5 file a fold, written block by block, every chunk with a checksum."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import RunError
from ..files import replaced

__all__ = ["add", "create", "read"]

CHUNK = 2**20  # most values of one HDF5 chunk
FILTERS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}


@contextlib.contextmanager
def create(path: str | Path, attributes: Mapping[str, Any]) -> Iterator[h5py.File]:
    """A file to `add` samples to; it appears at `path` when the block ends well, with `attributes` and `complete` = 1."""
    with replaced(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        yield file
        file.attrs.update({**attributes, "complete": 1})


def add(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    blocks: Iterable[tuple[tuple[slice, ...], np.ndarray]],
    attributes: Mapping[str, Any],
    compression: str,
) -> None:
    """Write sample `name`, (C, *space) float32, from (place, values) blocks; memory is that of one block."""
    dataset = file.create_dataset(name, shape, "f4", chunks=_chunks(shape), fletcher32=True, **FILTERS[compression])
    dataset.attrs.update(attributes)
    for place, block in blocks:
        dataset[place] = block


def read(path: str | Path, name: str) -> np.ndarray:
    """Sample `name`, (C, *space) float32; raises RunError on a missing sample, a damaged file or a failed checksum."""
    try:
        with h5py.File(path, "r") as file:
            if name in file:
                return file[name][...]
            known = sorted(file)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable: {' '.join(str(error).split())[:120]}; delete it to make it anew") from error
    raise RunError(f"{path}: no prediction of sample {name!r}; it has {len(known)}: {', '.join(known[:5])}")


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One channel, and the largest power-of-two edge that keeps a chunk small."""
    edge = 1 << (max(1, round(CHUNK ** (1 / (len(shape) - 1)))).bit_length() - 1)
    return 1, *(min(edge, n) for n in shape[1:])
