"""What the training loop costs over a bare torch loop on tensors in memory: `python -m tests.benchmarks.loop`.

The network is tiny, some tens of examples a second on one core: any larger one hides the loop altogether.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from m2m_core.crops import Crops, index
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.models import Geometry, devices
from m2m_core.tasks.field_to_field import FieldToField
from m2m_core.tasks.protocol import Study
from m2m_core.training.loop import fit
from tests.tasks.studies import experiment

__all__ = ["main"]

MESH, EDGE, FILES, WIDTH, BATCH, EPOCHS = 64, 36, 3, 8, 1, 42
LR = 1.0e-3
GEOMETRY = Geometry(2, 1, "valid")
STATISTICS = {"mean": [0.0] * 3, "std": [1.0] * 3}
EXPERIMENT = experiment(
    normalize={"input": "standardise", "target": "standardise"},
    crops={"size": EDGE - 4},
    model={"name": "vnet", "width": 1, "depth": 1, "padding": "valid"},
    optimizer={"name": "adam", "lr": LR},
    training={"epochs": EPOCHS, "batch_size": BATCH, "augment": [], "validation": None, "workers": 0},
)


class Tiny(FieldToField):
    """A network of two layers, so that what surrounds it shows."""

    def _geometry(self) -> Geometry:
        return GEOMETRY

    def _network(self, padding: str) -> nn.Module:
        return network()


def main() -> None:
    """Print the speed of the loop over files and of a bare loop, epochs in turn, and their ratio of CPU time."""
    torch.set_num_threads(1)
    devices.keep_memory()  # as the stage does; else either side pays a tenth for mapping it anew, by chance
    with tempfile.TemporaryDirectory() as folder:
        task = Tiny(_study(Path(folder)))
        examples = len(task.samples().fit)
        turns = Turns(_bare(task), -(-examples // BATCH))
        fit(task, EXPERIMENT, Path(folder) / "run", "benchmark", turns)
    for name, clock in (("CPU", 0), ("wall", 1)):
        ours, bare = (statistics.median(turn[clock] for turn in side) for side in (turns.ours, turns.bare))
        print(f"{name}: ours {examples / ours:.1f} examples/s, bare {examples / bare:.1f}, ratio {ours / bare:.3f}")
    print(f"ratio {statistics.median(a[0] / b[0] for a, b in zip(turns.ours, turns.bare, strict=True)):.3f}")


class Turns:
    """Called after each update: at the end of each epoch of ours, one of the bare loop has its turn."""

    def __init__(self, bare: Iterator[None], per_epoch: int) -> None:
        self.epoch, self.per_epoch = bare, per_epoch
        self.ours: list[tuple[float, float]] = []
        self.bare: list[tuple[float, float]] = []
        self.since = _now()

    def __call__(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Take the times, but for those of the first epochs, which open files and warm up."""
        if step % self.per_epoch:
            return
        between = _now()
        next(self.epoch)
        end = _now()
        if step > 2 * self.per_epoch:
            self.ours.append(_difference(self.since, between))
            self.bare.append(_difference(between, end))
        self.since = _now()


def network() -> nn.Module:
    """Two convolutions, 3 channels of 36^3 to 3 of 32^3."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, WIDTH, 3), nn.LeakyReLU(), nn.Conv3d(WIDTH, 3, 3))


def _bare(task: FieldToField) -> Iterator[None]:
    """The loop that everybody writes, on batches that are tensors in memory already."""
    examples = list(task.samples().fit)
    items = [task.item(example, None) for example in examples]
    batches = [task.collate(items[i : i + BATCH]) for i in range(0, len(items), BATCH)]
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    while True:
        for source, target in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(source), target)
            loss.backward()
            optimizer.step()
        yield


def _now() -> tuple[float, float]:
    """CPU and wall seconds."""
    return time.process_time(), time.perf_counter()


def _difference(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - start[0], end[1] - start[1]


def _study(folder: Path) -> Study:
    catalogue = Catalogue(tuple(_sample(folder, n) for n in range(FILES)))
    crops = Crops(index(catalogue, EDGE - 4, EDGE - 4, GEOMETRY))
    return Study(EXPERIMENT, catalogue, {"input": STATISTICS, "target": STATISTICS}, crops, FILES - 1)


def _sample(folder: Path, n: int) -> Sample:
    rng, parts = np.random.default_rng(n), {}
    for field in ("input", "target"):
        shape = (3, MESH, MESH, MESH)
        path = folder / f"{field}-{n}.npy"
        np.save(path, rng.standard_normal(shape, dtype=np.float32))
        parts[field] = (Part(str(path), "", shape, "<f4", path.stat().st_size, "", "displacement", 0),)
    return Sample(str(n), str(n), n, parts, (100.0,) * 3, 0.0, 0.3, True)


if __name__ == "__main__":
    main()
