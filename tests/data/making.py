"""Small datasets on disk for tests."""

from pathlib import Path

import h5py
import numpy as np

from m2m_core.data.catalogue import Catalogue, Part, Sample, build
from m2m_core.data.folds import assign
from m2m_core.data.sources import npy

__all__ = ["catalogue", "field", "h5", "pairs", "part", "sample"]


def field(shape=(3, 8, 8, 8), seed=0, dtype="f4"):
    """Gaussian numbers of any shape and dtype."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def h5(path, attributes=None, **arrays):
    """An HDF5 file of contiguous datasets."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(attributes or {})
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return Path(path)


def pairs(folder, count=4, shape=(3, 8, 8, 8)):
    """`count` inputs and targets, input/<n>.npy and target/<n>.npy; returns the source section."""
    for seed, name in enumerate(("input", "target")):
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            np.save(Path(folder) / name / f"{n}.npy", field(shape, 100 * seed + n))
    return {"input": [f"{folder}/input/*.npy"], "target": [f"{folder}/target/*.npy"]}


def catalogue(folder, count=4, shape=(3, 8, 8, 8), folds=2, **options) -> Catalogue:
    """The catalogue of such pairs."""
    samples = npy(**pairs(folder, count, shape), **options)
    return build(samples, assign({s.id: s.group for s in samples}, folds))


def part(path, array, quantity="scalar", nonfinite=0) -> Part:
    """A file of `array` at `path` and the catalogue's word about it."""
    np.save(path, array)
    size = Path(path).stat().st_size
    return Part(str(path), "", array.shape, array.dtype.str, size, "", quantity, nonfinite)


def sample(periodic=True, **fields) -> Sample:
    """A sample of parts."""
    parts = {name: given if isinstance(given, tuple) else (given,) for name, given in fields.items()}
    space = next(iter(parts.values()))[0].shape[1:]
    return Sample("a", "a", 0, parts, (1.0,) * len(space), 0.0, 0.3, periodic)
