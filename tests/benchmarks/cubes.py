"""Slices of compressed cubes in batches, over random reads of single slices: `python -m tests.benchmarks.cubes`.

The cubes stand in one gzipped HDF5 file, more than twice as large as the memory that reading them may take.
"""

import itertools
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import torch

from m2m_core.data.catalogue import Sample
from m2m_core.data.cubes import Cubes, room
from m2m_core.data.fields import Fields
from m2m_core.data.labels import cubes
from m2m_core.data.slices import STREAMS, Slices, index
from m2m_core.simulations.gravity import gravity
from m2m_core.tasks.protocol import Split
from m2m_core.training.batches import FIT, Batches, stream
from m2m_core.training.order import Order

from ._timing import alternate

__all__ = ["main"]

MESH, SEEDS, BATCH, NEIGHBOURHOOD, READS, REPEATS = 128, 24, 64, 1.0, 64, 1
MIB = 2.0**20


def main() -> None:
    """Print slices per second of CPU time, delivered and read one by one, the memory at most taken, and the ratio."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        samples = _samples(Path(folder) / "cubes.h5")
        slices = Slices(index(samples, "slices"))
        size, data = room(samples, NEIGHBOURHOOD) / MIB, 4 * MESH**3 * len(samples) / MIB
        before = _peak()
        delivered, single = alternate(lambda: _epoch(samples, slices), lambda: _one_by_one(samples, slices), REPEATS)
        grown = _peak() - before
    rates = len(slices) / delivered, READS / single
    print(f"{len(samples)} cubes of {MESH}^3 in one gzipped file, {data:.0f} MiB as float32")
    print(f"peak RSS {_peak():.0f} MiB, {grown:.0f} MiB more than before the first slice; cubes kept: {size:.0f} MiB")
    print(f"slices per CPU-s: {rates[0]:.0f} in batches of {BATCH}, {rates[1]:.0f} one by one")
    if grown > 1.5 * size:
        raise SystemExit(f"memory grew by {grown:.0f} MiB; expected at most 1.5 times the {size:.0f} MiB of cubes kept")
    print(f"ratio {rates[0] / rates[1]:.2f}")


class Task(SimpleNamespace):
    """As far as batches need one: each example a slice."""

    def item(self, example: tuple[str, int, int], rng: Any) -> np.ndarray:
        """The slice (1, n, n)."""
        name, axis, start = example
        return self.cubes.block(self.samples[name], axis, start, 1)[:, 0]

    def collate(self, items: list[np.ndarray]) -> torch.Tensor:
        """(batch, 1, n, n)."""
        return torch.from_numpy(np.stack(items))


def _epoch(samples: list[Sample], slices: Slices) -> None:
    """All slices once, mixed among cubes, in a process of its own memory of cubes."""
    kept = Cubes(Fields(limit=4), room(samples, NEIGHBOURHOOD))
    task: Any = Task(samples={sample.id: sample for sample in samples}, cubes=kept)
    order = Order(len(slices), BATCH, 0, slices.near, NEIGHBOURHOOD, STREAMS)
    source = Batches(task, Split(slices, [], [], None, slices.near, STREAMS), order)
    count = sum(len(batch) for batch in stream(source, [(FIT, step) for step in range(order.per_epoch)], 0, False))
    assert count == len(slices)


def _one_by_one(samples: list[Sample], slices: Slices) -> None:
    """Random slices as h5py reads them."""
    parts = {sample.id: sample.parts("input")[0] for sample in samples}
    with h5py.File(samples[0].parts("input")[0].file) as file:
        for number in np.random.default_rng(0).integers(0, len(slices), READS):
            name, axis, start = slices[int(number)]
            file[parts[name].dataset][(*[slice(None)] * axis, start)]


def _samples(path: Path) -> list[Sample]:
    """Pairs of potentials."""
    with h5py.File(path, "w") as file:
        for seed, (theory, other) in itertools.product(range(SEEDS), _theories()):
            values = gravity(2 * seed + other, mesh=MESH, box_size=20.0 * MESH).fields["input"].values[0]
            file.create_dataset(f"{theory}_seed{seed:04d}", data=values / values.std(), compression="gzip")
    return cubes(input=str(path), dataset="{theory}_seed{seed}", labels={"gr": {"theory": "gr"}})


def _theories() -> Iterator[tuple[str, int]]:
    yield from (("gr", 0), ("newton", 1))


def _peak() -> float:
    """The most memory that this process had so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
