"""What a batch of crops costs over copying the same bytes by plain slices: `python -m tests.benchmarks.crops`.

Ours is all that training does before the network: crops of input and target with halo around the period, symmetries,
shifts, normalisation, collation. The other copies the same voxels into the same batches, in as few pieces as the period
leaves them, and does nothing else. The last number of a line is the ratio to slices that turn the fields as well.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from m2m_core import config
from m2m_core.crops import Crops, index
from m2m_core.data.augment import Symmetry, draw
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.models import devices, geometry_of
from m2m_core.tasks.field_to_field import FieldToField
from m2m_core.tasks.protocol import Study

from ._timing import alternate

__all__ = ["main"]

CHANNELS, FILES, BATCH = 3, 4, 4
CASES = ((64, 32, 24), (128, 64, 4))  # mesh, edge of a crop, batches; the halo is 20
MODEL = {"name": "vnet", "width": 1, "depth": 2, "padding": "periodic"}
AUGMENT = (["shift"], ["flip", "permute", "shift"])  # what turns a field costs several copies of it


def main() -> None:
    """Print crops per second of CPU time, ours and by plain slices, and the smallest of the ratios."""
    torch.set_num_threads(1)
    devices.keep_memory()  # as training does
    print(f"ratio {min(_ratio(kinds, *case) for kinds in AUGMENT for case in CASES):.3f}")


def _ratio(kinds: list[str], mesh: int, edge: int, batches: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        task = _task(Path(folder), mesh, edge, kinds)
        examples = list(task.samples().fit)
        rng = np.random.default_rng(1)
        numbers = rng.integers(0, len(examples), (batches, BATCH))
        copies = [[_copies(task, examples[i], rng) for i in batch] for batch in numbers]
        symmetries = [[draw(_random(i), kinds, (edge,) * 3, (mesh,) * 3, True) for i in batch] for batch in numbers]

        def ours() -> None:
            for batch in numbers:
                task.collate([task.item(examples[i], _random(i)) for i in batch])

        def plain() -> None:
            for batch in copies:
                _sliced(batch, [None] * BATCH)

        def turned() -> None:
            for batch, turns in zip(copies, symmetries, strict=True):
                _sliced(batch, turns)

        of_plain, of_turned = (alternate(ours, other, repeats=11) for other in (plain, turned))
    rates = [batches * BATCH / second for second in of_plain]
    halo = task.study.crops.halo[0]
    what = f"{edge}^3 with a halo of {halo} out of {CHANNELS}x{mesh}^3, {'+'.join(kinds)}"
    print(f"{what}: ours {rates[0]:.0f} examples per CPU-s, plain {rates[1]:.0f}, ", end="")
    print(f"ratio {rates[0] / rates[1]:.3f}, to slices that turn {of_turned[1] / of_turned[0]:.3f}")
    return rates[0] / rates[1]


def _random(number: int) -> np.random.Generator:
    """What decides how an example is turned, for ours and for slices."""
    return np.random.default_rng([1, number])


def _sliced(batch: list, turns: Sequence[Symmetry | None]) -> None:
    """The inputs and the targets of a batch by slices alone, those that turn written transposed and backwards."""
    for crops in zip(*batch, strict=True):
        new = np.empty((BATCH, *crops[0][1]), "f4")
        for out, (values, _, pairs), turn in zip(new, crops, turns, strict=True):
            if turn is not None:  # seen from where the field is not yet turned
                ways = (slice(None, None, sign) for sign in turn.inverse().signs)
                out = out.transpose(0, *(1 + axis for axis in turn.inverse().axes))[:, *ways]
            for to, of in pairs:
                out[to] = values[of]


def _copies(task: FieldToField, example: tuple, rng: np.random.Generator) -> list:
    """(memory map, shape, pairs of slices) of input and target of a crop that is moved at random."""
    name, start = example
    crops, found = task.study.crops, []
    for side, halo in (("input", crops.halo[0]), ("target", 0)):
        part = task.study.catalogue[name].parts(side)[0]
        values, edge, mesh = np.load(part.file, mmap_mode="r"), crops.size[0] + 2 * halo, part.shape[1]
        axes = [_pieces((a - halo + int(rng.integers(mesh))) % mesh, edge, mesh) for a in start]
        pairs = [tuple((slice(None), *side) for side in zip(*cut, strict=True)) for cut in itertools.product(*axes)]
        found.append((values, (len(values), *(edge,) * len(start)), pairs))
    return found


def _pieces(start: int, length: int, period: int) -> list[tuple[slice, slice]]:
    """(to, from) of what lies between the ends of the period."""
    done, pieces = 0, []
    while done < length:
        step = min(period - start, length - done)
        pieces.append((slice(done, done + step), slice(start, start + step)))
        done, start = done + step, 0
    return pieces


def _task(folder: Path, mesh: int, edge: int, kinds: list[str]) -> FieldToField:
    catalogue = Catalogue(tuple(_sample(folder, n, mesh) for n in range(FILES)))
    raw = {"dataset": "d", "crops": {"size": edge}, "model": MODEL, "training": {"augment": kinds}}
    raw["normalize"] = {"input": "displacement", "target": "displacement"}
    source = {"kind": "npy", "input": "a", "target": "b"}
    parsed = config.parse({"datasets": {"d": {"source": source}}, "experiments": {"e": raw}})
    crops = Crops(index(catalogue, edge, None, geometry_of(MODEL["name"], MODEL)))
    return FieldToField(Study(parsed.experiments["e"].model_dump(), catalogue, {}, crops, FILES - 1))


def _sample(folder: Path, n: int, mesh: int) -> Sample:
    rng, parts, shape = np.random.default_rng(n), {}, (CHANNELS, mesh, mesh, mesh)
    for field in ("input", "target"):
        path = folder / f"{field}-{n}.npy"
        np.save(path, rng.standard_normal(shape, dtype=np.float32))
        parts[field] = (Part(str(path), "", shape, "<f4", path.stat().st_size, "", "displacement", 0),)
    return Sample(str(n), str(n), n, parts, (100.0,) * 3, 0.0, 0.3, True)


if __name__ == "__main__":
    main()
