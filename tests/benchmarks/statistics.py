"""Cost of all moments over a plain float64 mean of the same memory-mapped float32 data: CPU time, runs in turn."""

import tempfile
from pathlib import Path

import numpy as np

from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.statistics import moments

from ._timing import alternate

__all__ = ["main"]

MESH, SAMPLES, REPEATS = 128, 4, 11


def main() -> float:
    """Print the ratio of the one pass to the plain mean, over displacement-like samples of 3 x 128^3."""
    with tempfile.TemporaryDirectory() as folder:
        files = [_write(Path(folder) / f"{n}.npy", n) for n in range(SAMPLES)]
        catalogue = Catalogue(tuple(_sample(file) for file in files))
        one_pass, mean = alternate(lambda: moments(catalogue), lambda: [_mean(file) for file in files], REPEATS)
    values = SAMPLES * 3 * MESH**3
    print(f"one pass: {values * 4 / one_pass / 1e9:.2f} GB a CPU second; plain mean: {values * 4 / mean / 1e9:.2f}")
    print(f"ratio {one_pass / mean:.3f}")
    return one_pass / mean


def _write(path: Path, seed: int) -> Path:
    values = 5 * np.random.default_rng(seed).standard_normal((3, MESH, MESH, MESH), "f4")
    np.save(path, values)
    return path


def _mean(path: Path) -> float:
    return np.mean(np.load(path, mmap_mode="r"), dtype=np.float64)


def _sample(path: Path) -> Sample:
    part = Part(str(path), "", (3, MESH, MESH, MESH), "<f4", path.stat().st_size, "", "displacement", 0)
    return Sample(path.stem, path.stem, 0, {"input": (part,)}, (100.0,) * 3, 0.0, 0.3, True)


if __name__ == "__main__":
    main()
