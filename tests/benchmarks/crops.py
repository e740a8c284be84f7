"""What reading crops costs over copying the same slices by hand: `python -m tests.benchmarks.crops`."""

import tempfile
from pathlib import Path

import numpy as np

from m2m_core.crops import Crops, index
from m2m_core.data.catalogue import Part, Sample
from m2m_core.data.fields import Fields
from m2m_core.models import Geometry

from ._timing import alternate

__all__ = ["main"]

MESH, CHANNELS, EDGE, FILES, READS = 128, 3, 48, 4, 60


def main() -> None:
    """Print crops per second of CPU time, read by us around the period and by plain slices inside, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        samples = [_sample(Path(folder) / f"{n}.npy", n) for n in range(FILES)]
        crops, fields = Crops(index(samples, EDGE, None, Geometry(0, 4, "valid"))), Fields()
        known = {sample.id: sample for sample in samples}
        rng = np.random.default_rng(1)
        numbers, shifts = rng.integers(0, len(crops), READS), rng.integers(0, MESH, (READS, 3)).tolist()
        files = [np.load(known[crops[n][0]].parts("input")[0].file, mmap_mode="r") for n in numbers]
        inside = [tuple(slice(a % (MESH - EDGE), a % (MESH - EDGE) + EDGE) for a in shift) for shift in shifts]

        def ours() -> None:
            for number, shift in zip(numbers, shifts, strict=True):
                name, start = crops[number]
                fields.block(known[name], "input", [a + b for a, b in zip(start, shift, strict=True)], crops.size)

        def plain() -> None:
            for values, place in zip(files, inside, strict=True):
                np.array(values[:, *place])

        seconds = alternate(ours, plain, repeats=21)
    rates = [READS / second for second in seconds]
    print(f"{EDGE}^3 out of {CHANNELS}x{MESH}^3 float32, crops per CPU-s: {rates[0]:.0f}, plain {rates[1]:.0f}")
    print(f"ratio {rates[0] / rates[1]:.3f}")


def _sample(path: Path, seed: int) -> Sample:
    shape = (CHANNELS, MESH, MESH, MESH)
    np.save(path, np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
    part = Part(str(path), "", shape, "<f4", path.stat().st_size, "", "displacement", 0)
    return Sample(path.stem, path.stem, 0, {"input": (part,)}, (100.0,) * 3, 0.0, 0.3, True)


if __name__ == "__main__":
    main()
