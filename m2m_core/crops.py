"""Where crops and tiles lie: lattices by arithmetic, checked against every field; no list of crops anywhere.

A lattice is told by a field's shape, the crop's size and the step between crops, so the index holds one row for each
sample and for each different shape. Crops are chosen by sample: those of one sample cannot fall into two folds.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .data.catalogue import Catalogue, Sample
from .data.slices import Slices, digest
from .data.slices import index as slices_of
from .errors import ConfigError, DataError
from .files import write_whole
from .models import Geometry, geometry_of

__all__ = ["Crops", "Tile", "index", "per_axis", "read_index", "stitch", "tiles", "write_index"]

Edges = int | Sequence[int]


@dataclass(frozen=True)
class Tile:
    """A part of a whole that is predicted at once.

    start, shape: where it lies [voxels]
    keep: the slices of the tile, and `put`: the slices of the whole, that it fills; no two tiles fill one voxel
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    keep: tuple[slice, ...]
    put: tuple[slice, ...]

    def finer(self, factor: int) -> "Tile":
        """The same part of a grid that is `factor` times as fine."""
        start, shape = (tuple(factor * n for n in numbers) for numbers in (self.start, self.shape))
        return Tile(start, shape, _finer(self.keep, factor), _finer(self.put, factor))


class Crops(Sequence):
    """All crops of some samples: `crops[i]` is (sample id, start [voxels]), found by arithmetic.

    size, step: edges of a crop and distances between crops, one an axis [voxels]
    halo: voxels to read beyond the crop on both sides, one an axis
    scale: voxels of the target for each of the input, along an axis; all else counts those of the input
    whole: whether every crop is a whole sample
    padding: what the model must be built with to take these crops
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self.size, self.step, self.halo = (_integers(arrays[key]) for key in ("size", "step", "halo"))
        self.scale, self.whole, self.padding = int(arrays["scale"]), bool(arrays["whole"]), str(arrays["padding"])
        self.ids, self.lattice = arrays["ids"], arrays["lattice"]
        self.counts, self.limits, self.begins = arrays["counts"], arrays["limits"], arrays["begins"]
        self.ends = np.cumsum(self.counts.prod(axis=1)[self.lattice])

    @classmethod
    def read(cls, path: str | Path, catalogue: Iterable[Sample] | None = None) -> "Crops":
        """The index at `path`, see `read_index`."""
        return read_index(path, catalogue)

    def among(self, ids: Iterable[str]) -> "Crops":
        """The crops of these samples, in their order; raises DataError on a sample that the index does not have."""
        rows = [self._row(id) for id in ids]
        return Crops({**self.arrays, "ids": self.ids[rows], "lattice": self.lattice[rows]})

    def region(self, id: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First voxel and edges of the part of a sample that crops are taken from [voxels]."""
        lattice = self.lattice[self._row(id)]
        return _integers(self.begins[lattice]), _integers(self.arrays["lengths"][lattice])

    def of(self, id: str) -> np.ndarray:
        """Starts of all crops of one sample, (crops, axes) [voxels]."""
        lattice = self.lattice[self._row(id)]
        return self._starts(lattice, np.arange(self.counts[lattice].prod()))

    @property
    def near(self) -> np.ndarray:
        """Of each crop the number of its sample among these, (crops,) int32."""
        return np.repeat(np.arange(len(self.ids), dtype=np.int32), np.diff(self.ends, prepend=0))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, number: int) -> tuple[str, tuple[int, ...]]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"crop {number} of {len(self)}")
        number %= len(self)
        row = int(np.searchsorted(self.ends, number, side="right"))
        place = number - (int(self.ends[row - 1]) if row else 0)
        return str(self.ids[row]), _integers(self._starts(self.lattice[row], np.array([place]))[0])

    def _starts(self, lattice: int, places: np.ndarray) -> np.ndarray:
        steps = np.stack(np.unravel_index(places, tuple(self.counts[lattice])), axis=-1)
        return self.begins[lattice] + np.minimum(steps * np.array(self.step), self.limits[lattice])

    def _row(self, id: str) -> int:
        if id not in self._rows:
            raise DataError(f"crops: sample {id!r} is not in the index; delete the index to make it anew")
        return self._rows[id]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(id): row for row, id in enumerate(self.ids)}


def index(
    catalogue: Iterable[Sample],
    size: Edges,
    step: Edges | None,
    geometry: Geometry,
    where: str = "crops",
    start: Edges | None = None,
    stop: Edges | None = None,
    scale_factor: int | None = None,
) -> dict[str, np.ndarray]:
    """Lattices of crops over the inputs of a catalogue, as the arrays that `Crops` takes.

    size, step: one number, or one an axis [voxels]; `step` is `size` if None
    where: the key that the errors name
    start, stop: the part of each field that crops are taken from [voxels], the whole if None; halos may reach beyond
    scale_factor: voxels of the target for each of the input, along an axis; those that the model makes if None
    The crops cover that part: the last along an axis is moved back to fit. Only where the step divides a period and
    crops overlap, the lattice goes once around. Raises ConfigError on what the model or a field cannot take, DataError
    on samples that cannot share one lattice.
    """
    samples = list(catalogue)
    facts = [(sample.id, tuple(sample.shape("input")[1:]), bool(sample.periodic)) for sample in samples]
    if not facts:
        raise DataError(f"{where}: the catalogue has no samples; expected at least one")
    _check_scale(samples, scale_factor, geometry.scale, where)
    edges, steps = _admitted(size, step, len(facts[0][1]), geometry, where)
    lattices = {(shape, periodic): name for name, shape, periodic in reversed(facts)}  # and the first sample of each
    whole = all(shape == edges for shape, _ in lattices)
    for (shape, periodic), name in lattices.items():
        _check_field(f"sample {name!r}", shape, periodic, edges, geometry, whole, where)
    parts = {(shape, periodic): _part(shape, edges, start, stop, where) for shape, periodic in lattices}
    numbers = {lattice: number for number, lattice in enumerate(lattices)}
    limits, counts = zip(*(_lattice(*lattice, parts[lattice][1], edges, steps) for lattice in lattices), strict=True)
    begins, lengths = zip(*parts.values(), strict=True)
    return {
        "ids": np.array([name for name, *_ in facts]),
        "lattice": np.array([numbers[shape, periodic] for _, shape, periodic in facts], np.int32),
        "shapes": np.array([shape for shape, _ in lattices], np.int64),
        "limits": np.array(limits, np.int64),
        "counts": np.array(counts, np.int64),
        "begins": np.array(begins, np.int64),
        "lengths": np.array(lengths, np.int64),
        "size": np.array(edges, np.int64),
        "step": np.array(steps, np.int64),
        "halo": np.full(len(edges), geometry.margin(whole), np.int64),
        "scale": np.array(geometry.scale),
        "whole": np.array(whole),
        "padding": np.array(geometry.runs_as(whole)),
        "digest": np.array(digest(samples)),
    }


def read_index(path: str | Path, catalogue: Iterable[Sample] | None = None) -> Any:
    """The `Crops` or `Slices` at `path`; raises DataError if it is damaged, or was made of another catalogue."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
        found = Slices(held) if "thickness" in held else Crops(held)
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise DataError(f"{path}: not an index of crops ({reason}); delete it") from error
    if catalogue is not None and str(found.arrays["digest"]) != digest(catalogue):
        raise DataError(f"{path}: made for other samples or shapes than the catalogue's; delete it")
    return found


def write_index(settings: Mapping[str, Any], catalogue: str | Path, output: str | Path) -> str:
    """The crops stage: from the catalogue's file to the index; returns a line about it."""
    geometry = geometry_of(settings["geometry"]["name"], settings["geometry"]["options"])
    if "kind" in settings["crops"]:
        return _write_slices(settings["crops"], geometry, Catalogue.read(catalogue), output)
    arrays = index(Catalogue.read(catalogue), geometry=geometry, **settings["crops"])
    write_whole(output, lambda stream: np.savez_compressed(stream, **arrays))
    crops = Crops(arrays)
    size, halo = ("x".join(map(str, edges)) for edges in (crops.size, crops.halo))
    return f"{len(crops)} crops of {size} with a halo of {halo}, in {len(crops.ids)} samples"


def _write_slices(chosen: Mapping[str, Any], geometry: Geometry, catalogue: Catalogue, output: str | Path) -> str:
    arrays = slices_of(catalogue, **chosen)
    slices = Slices(arrays)
    geometry.admit(slices.edges, "crops")
    write_whole(output, lambda stream: np.savez_compressed(stream, **arrays))
    edges = "x".join(map(str, slices.edges))
    return f"{len(slices)} examples of {edges} voxels, {slices.thickness} thick, in {len(slices.ids)} samples"


def tiles(shape: Sequence[int], size: Edges, where: str = "inference.tile") -> list[Tile]:
    """Tiles of edges `size` that fill a field of edges `shape`, each voxel once.

    The last along an axis is moved back to fit, and keeps what the one before it left out. Raises ConfigError if a tile
    does not fit.
    """
    edges = per_axis(size, len(shape), where)
    for edge, length in zip(edges, shape, strict=True):
        if edge > length:
            raise ConfigError(f"{where}: {edge}, but the field has {length} voxels along an axis; at most {length}")
    axes = [list(_intervals(*pair)) for pair in zip(shape, edges, strict=True)]
    return [_tile(intervals, edges) for intervals in itertools.product(*axes)]


def stitch(whole: np.ndarray, tile: Tile, values: np.ndarray) -> None:
    """Put the values of a tile, (C, *tile.shape), where they belong in (C, *shape)."""
    whole[:, *tile.put] = values[:, *tile.keep]


def _intervals(length: int, edge: int) -> Iterator[tuple[int, int]]:
    """(start, first voxel to keep) of each tile along one axis."""
    for first in range(0, length, edge):
        yield min(first, length - edge), first


def _tile(intervals: Sequence[tuple[int, int]], edges: tuple[int, ...]) -> Tile:
    axes = list(zip(intervals, edges, strict=True))
    keep = tuple(slice(first - start, edge) for (start, first), edge in axes)
    put = tuple(slice(first, start + edge) for (start, first), edge in axes)
    return Tile(tuple(start for start, _ in intervals), edges, keep, put)


def _finer(slices: Iterable[slice], factor: int) -> tuple[slice, ...]:
    return tuple(slice(factor * cut.start, factor * cut.stop) for cut in slices)


def _part(
    shape: tuple[int, ...], edges: tuple[int, ...], start: Edges | None, stop: Edges | None, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and edges of the part of a field that crops are taken from."""
    begins = per_axis(start or 0, len(shape), f"{where}.start")
    ends = per_axis(stop, len(shape), f"{where}.stop") if stop is not None else shape
    for begin, end, edge, length in zip(begins, ends, edges, shape, strict=True):
        if end > length:
            raise ConfigError(f"{where}.stop: {end}, but a field has {length} voxels along an axis; at most {length}")
        if end - begin < edge:
            raise ConfigError(f"{where}: from {begin} to {end} there is no room for a crop of {edge} voxels")
    return begins, tuple(end - begin for begin, end in zip(begins, ends, strict=True))


def _lattice(
    shape: tuple[int, ...], periodic: bool, part: tuple[int, ...], edges: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """The last start, counted from the first one, and the number of starts along each axis."""
    limits, counts = [], []
    for period, length, edge, step in zip(shape, part, edges, steps, strict=True):
        around = periodic and edge < length == period and length % step == 0
        limits.append(length - step if around else length - edge)
        counts.append(1 - (-limits[-1] // step))
    return limits, counts


# ---- checks


def _check_scale(catalogue: Iterable[Sample], factor: int | None, made: int, where: str) -> None:
    """Targets as much finer than inputs as the model makes them, and as `factor` says if it is given."""
    if factor not in (None, made):
        text = f"{factor}, but the model makes {made} voxels of each, along an axis; expected {made}"
        raise ConfigError(f"{where}.scale_factor: {text}")
    for sample in (sample for sample in catalogue if "target" in sample.fields):
        coarse, fine = (sample.shape(field)[1:] for field in ("input", "target"))
        if tuple(fine) != tuple(made * n for n in coarse):
            shapes = f"the input of sample {sample.id!r} has edges {tuple(coarse)}, its target {tuple(fine)}"
            raise ConfigError(f"{where}.scale_factor: {made}, as the model makes it, but {shapes}")


def _admitted(
    size: Edges, step: Edges | None, dims: int, geometry: Geometry, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    edges = per_axis(size, dims, f"{where}.size")
    geometry.admit(edges, f"{where}.size")
    steps = edges if step is None else per_axis(step, dims, f"{where}.step")
    for edge, distance in zip(edges, steps, strict=True):
        if distance > edge:
            raise ConfigError(f"{where}.step: {distance} leaves gaps between crops of {edge}; at most {edge}")
    return edges, steps


def _check_field(
    who: str,
    shape: tuple[int, ...],
    periodic: bool,
    edges: tuple[int, ...],
    geometry: Geometry,
    whole: bool,
    where: str,
) -> None:
    if len(shape) != len(edges):
        raise DataError(f"{where}: {who} has {len(shape)} axes, others have {len(edges)}; expected equally many")
    if geometry.padding == "periodic" and not periodic:
        raise DataError(f"model.padding: periodic, but {who} is not; expected valid or zero")
    margin = geometry.margin(whole)
    for edge, length in zip(edges, shape, strict=True):  # a periodic model may read around its box more than once
        nearest = _nearest(edge, length, margin if periodic else 0, geometry.factor)
        if edge > length:
            raise ConfigError(f"{where}.size: {edge}, but {who} has {length} voxels along an axis; {nearest}")
        if periodic and geometry.padding == "valid" and edge < length < edge + 2 * margin:
            read = f"{edge} with a halo of {margin} on both sides reads {edge + 2 * margin} voxels"
            raise ConfigError(f"{where}.size: {read}, more than the period {length} of {who}; {nearest}")


def _nearest(edge: int, length: int, margin: int, factor: int) -> str:
    """The greatest admissible edges of a crop: with its halo inside the field, and the whole field."""
    inside = min(length - 2 * margin, edge) // factor * factor
    known = [f"at most {inside}" if inside > 0 else "", f"{length}, the whole" if length % factor == 0 else ""]
    text = " or ".join(filter(None, known))
    return f"expected {text}" if text else f"no multiple of {factor} fits"


def per_axis(edges: Edges, dims: int, where: str) -> tuple[int, ...]:
    """One number an axis; raises ConfigError if there are neither one nor `dims`."""
    if isinstance(edges, int):
        return (edges,) * dims
    if len(edges) != dims:
        raise ConfigError(f"{where}: {len(edges)} numbers for fields with {dims} axes; expected one, or one an axis")
    return tuple(edges)


def _integers(array: np.ndarray) -> tuple[int, ...]:
    return tuple(map(int, array))
