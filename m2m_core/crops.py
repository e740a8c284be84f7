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
from .data.slices import Rows, Slices, digest
from .data.slices import index as slices_of
from .errors import ConfigError, DataError
from .files import write_whole
from .models import Geometry, Sides, geometry_of

__all__ = ["Crops", "Tile", "index", "per_axis", "read_index", "stitch", "tiles", "write_index"]

Edges = int | Sequence[int]
Halo = (
    int | Sequence[int | Sequence[int]]
)  # the same on all sides, or of each axis: on both sides, or before and behind


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
    halo, behind: voxels to read before the crop and behind it, one an axis
    target_halo: voxels to learn from (before, behind) the crop, one pair an axis
    scale: voxels of the target for each of the input, along an axis; all else counts those of the input
    whole: whether every crop is a whole sample
    padding: what the model must be built with to take these crops
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self.size, self.step = _integers(arrays["size"]), _integers(arrays["step"])
        self.halo, self.behind = map(_integers, arrays["halo"].T)
        self.target_halo: Sides = tuple(map(_integers, arrays["target_halo"]))
        self.scale, self.whole, self.padding = int(arrays["scale"]), bool(arrays["whole"]), str(arrays["padding"])
        self.ids, self.lattice = arrays["ids"], arrays["lattice"]
        self.counts, self.limits, self.begins = arrays["counts"], arrays["limits"], arrays["begins"]
        self.ends = np.cumsum(self.counts.prod(axis=1)[self.lattice])

    @classmethod
    def read(cls, path: str | Path, catalogue: Iterable[Sample] | None = None) -> "Crops":
        """The index at `path`, see `read_index`."""
        return read_index(path, catalogue)

    @property
    def beyond(self) -> Sides:
        """Voxels to read (before, behind) the crop, one pair an axis."""
        return tuple(zip(self.halo, self.behind, strict=True))

    @property
    def learnt(self) -> tuple[int, ...]:
        """Edges of the crop with its target halo [voxels of the input]."""
        return tuple(n + low + high for n, (low, high) in zip(self.size, self.target_halo, strict=True))

    def shown(self, geometry: Geometry, margin: int) -> Sides:
        """Voxels to read (before, behind) a tile: the `margin` that is needed, or those of training before zeros."""
        return self.beyond if geometry.padding == "zero" else ((margin, margin),) * len(self.size)

    def among(self, ids: Iterable[str]) -> "Crops":
        """The crops of these samples, in their order; raises DataError on a sample that the index does not have."""
        rows = [self._row[id] for id in ids]
        return Crops({**self.arrays, "ids": self.ids[rows], "lattice": self.lattice[rows]})

    def region(self, id: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First voxel and edges of the part of a sample that crops are taken from [voxels]."""
        lattice = self.lattice[self._row[id]]
        return _integers(self.begins[lattice]), _integers(self.arrays["lengths"][lattice])

    def of(self, id: str) -> np.ndarray:
        """Starts of all crops of one sample, (crops, axes) [voxels]."""
        lattice = self.lattice[self._row[id]]
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

    @cached_property
    def _row(self) -> Rows:
        return Rows(self.ids)


def index(
    catalogue: Iterable[Sample],
    size: Edges,
    step: Edges | None,
    geometry: Geometry,
    where: str = "crops",
    start: Edges | None = None,
    stop: Edges | None = None,
    scale_factor: int | None = None,
    halo: Halo | None = None,
    target_halo: Halo = 0,
) -> dict[str, np.ndarray]:
    """Lattices of crops over the inputs of a catalogue, as the arrays that `Crops` takes.

    size, step: one number, or one an axis [voxels]; `step` is `size` if None
    where: the key that the errors name
    start, stop: the part of each field that crops are taken from [voxels], the whole if None; halos may reach beyond
    scale_factor: voxels of the target for each of the input, along an axis; those that the model makes if None
    halo, target_halo: voxels to read, and to learn from, around a crop; what the model needs, and none, unless given
    The crops cover that part: the last along an axis is moved back to fit. Only where the step divides a period and
    crops overlap, the lattice goes once around. Raises ConfigError on what the model or a field cannot take, DataError
    on samples that cannot share one lattice.
    """
    samples = list(catalogue)
    facts = [(sample.id, tuple(sample.shape("input")[1:]), tuple(sample.around)) for sample in samples]
    if not facts:
        raise DataError(f"{where}: the catalogue has no samples; expected at least one")
    _check_scale(samples, scale_factor, geometry.scale, where)
    edges, steps = _admitted(size, step, len(facts[0][1]), where)
    lattices = {(shape, around): name for name, shape, around in reversed(facts)}  # and the first sample of each
    whole = all(shape == edges for shape, _ in lattices)
    learnt = _sides(target_halo, len(edges), f"{where}.target_halo")
    given = None if halo is None else _sides(halo, len(edges), f"{where}.halo")
    read = geometry.beyond(whole, learnt, given, where)
    made = geometry.made(edges, whole, read)
    geometry.admit(made, f"{where}.size" if made == edges else f"{where}.size with its halos")
    for (shape, around), name in lattices.items():
        _check_field(f"sample {name!r}", shape, around, edges, geometry, read, where)
    parts = {lattice: _part(*lattice, edges, learnt, start, stop, where) for lattice in lattices}
    numbers = {lattice: number for number, lattice in enumerate(lattices)}
    limits, counts = zip(*(_lattice(*lattice, parts[lattice][1], edges, steps) for lattice in lattices), strict=True)
    begins, lengths = zip(*parts.values(), strict=True)
    return {
        "ids": np.array([name for name, *_ in facts]),
        "lattice": np.array([numbers[shape, around] for _, shape, around in facts], np.int32),
        "shapes": np.array([shape for shape, _ in lattices], np.int64),
        "limits": np.array(limits, np.int64),
        "counts": np.array(counts, np.int64),
        "begins": np.array(begins, np.int64),
        "lengths": np.array(lengths, np.int64),
        "size": np.array(edges, np.int64),
        "step": np.array(steps, np.int64),
        "halo": np.array(read, np.int64),
        "target_halo": np.array(learnt, np.int64),
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
    halos = [str(low) if low == high else f"{low}+{high}" for low, high in crops.beyond]
    size, halo = ("x".join(map(str, edges)) for edges in (crops.size, halos))
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
    shape: tuple[int, ...],
    around: tuple[bool, ...],
    edges: tuple[int, ...],
    learnt: Sides,
    start: Edges | None,
    stop: Edges | None,
    where: str,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and edges of the part of a field that crops are taken from; their target halos stay in it as well."""
    begins = per_axis(start or 0, len(shape), f"{where}.start")
    ends = per_axis(stop, len(shape), f"{where}.stop") if stop is not None else shape
    part = []
    for begin, end, edge, length, goes_on, halo in zip(begins, ends, edges, shape, around, learnt, strict=True):
        if end > length:
            raise ConfigError(f"{where}.stop: {end}, but a field has {length} voxels along an axis; at most {length}")
        low, high = (0, 0) if goes_on and end - begin == length else halo
        if end - begin < low + edge + high:
            sides = f", {low} voxels before and {high} behind it" if low or high else " voxels"
            raise ConfigError(f"{where}: from {begin} to {end} there is no room for a crop of {edge}{sides}")
        part.append((begin + low, end - high - begin - low))
    firsts, lengths = zip(*part, strict=True)
    return firsts, lengths


def _sides(halo: Halo, dims: int, where: str) -> Sides:
    """(before, behind) of each axis; raises ConfigError if there are neither one nor `dims` of them."""
    given = (halo,) * dims if isinstance(halo, int) else halo
    if len(given) != dims:
        raise ConfigError(f"{where}: {len(given)} for fields with {dims} axes; expected one, or one an axis")
    return tuple((one, one) if isinstance(one, int) else (one[0], one[1]) for one in given)


def _lattice(
    shape: tuple[int, ...],
    around: tuple[bool, ...],
    part: tuple[int, ...],
    edges: tuple[int, ...],
    steps: tuple[int, ...],
) -> tuple[list[int], list[int]]:
    """The last start, counted from the first one, and the number of starts along each axis."""
    limits, counts = [], []
    for period, length, edge, step, goes_on in zip(shape, part, edges, steps, around, strict=True):
        once = goes_on and edge < length == period and length % step == 0
        limits.append(length - step if once else length - edge)
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


def _admitted(size: Edges, step: Edges | None, dims: int, where: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    edges = per_axis(size, dims, f"{where}.size")
    steps = edges if step is None else per_axis(step, dims, f"{where}.step")
    for edge, distance in zip(edges, steps, strict=True):
        if distance > edge:
            raise ConfigError(f"{where}.step: {distance} leaves gaps between crops of {edge}; at most {edge}")
    return edges, steps


def _check_field(
    who: str,
    shape: tuple[int, ...],
    around: tuple[bool, ...],
    edges: tuple[int, ...],
    geometry: Geometry,
    read: Sides,
    where: str,
) -> None:
    if len(shape) != len(edges):
        raise DataError(f"{where}: {who} has {len(shape)} axes, others have {len(edges)}; expected equally many")
    if geometry.padding == "periodic" and not all(around):
        raise DataError(f"model.padding: periodic, but {who} is not; expected valid or zero")
    for edge, length, periodic, halo in zip(edges, shape, around, read, strict=True):
        nearest = _nearest(edge, length, sum(halo) if periodic else 0, geometry.factor)
        if edge > length:
            raise ConfigError(f"{where}.size: {edge}, but {who} has {length} voxels along an axis; {nearest}")
        if periodic and geometry.padding != "periodic" and edge < length < edge + sum(halo):
            sides = f"{halo[0]} on both sides" if halo[0] == halo[1] else f"{halo[0]} before and {halo[1]} behind it"
            text = f"{edge} with a halo of {sides} reads {edge + sum(halo)} voxels"
            raise ConfigError(f"{where}.size: {text}, more than the period {length} of {who}; {nearest}")


def _nearest(edge: int, length: int, halo: int, factor: int) -> str:
    """The greatest admissible edges of a crop: with its halo inside the field, and the whole field."""
    inside = min(length - halo, edge) // factor * factor
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
