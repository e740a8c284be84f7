"""Slices of cubes, thick or thin, and whole cubes as examples: a lattice by arithmetic, each slice once."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from .augment import Symmetry, draw
from .catalogue import Sample

__all__ = ["STREAMS", "WHOLE", "Rows", "Slices", "digest", "index", "turned"]

STREAMS = 4, 4  # batches in turn that are of different samples, one for each process that reads; and samples of each
WHOLE = -1  # the axis of an example that is a whole sample


class Rows:
    """The row of each sample of an index, by id; raises DataError on a sample that the index does not have."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.rows = {str(id): row for row, id in enumerate(ids)}

    def __getitem__(self, id: str) -> int:
        if id not in self.rows:
            raise DataError(f"crops: sample {id!r} is not in the index; delete the index to make it anew")
        return self.rows[id]


class Slices(Sequence):
    """All examples of some samples: `slices[i]` is (sample id, axis, first slice), found by arithmetic.

    An example that is a whole sample has the axis -1.
    axes: those that the slices stand on, and `counts`: how many there are along each
    thickness, step: slices of an example, and the distance between first ones [voxels]
    edges: of the space of an example [voxels]
    """

    padding = "none"

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays, self.ids = dict(arrays), arrays["ids"]
        self.axes, self.counts, self.edges = (tuple(arrays[key].tolist()) for key in ("axes", "counts", "edges"))
        self.thickness, self.step = int(arrays["thickness"]), int(arrays["step"])
        self.each = sum(self.counts)

    @property
    def whole(self) -> bool:
        """Whether every example is a whole sample."""
        return self.axes == (WHOLE,)

    @property
    def size(self) -> tuple[int, ...]:
        """As `edges`: what crops call it."""
        return self.edges

    @property
    def near(self) -> np.ndarray:
        """Of each example the number of its sample among these, (examples,) int32."""
        return np.repeat(np.arange(len(self.ids), dtype=np.int32), self.each)

    def among(self, ids: Iterable[str]) -> "Slices":
        """The examples of these samples, in their order; raises DataError on a sample that the index does not have."""
        return Slices({**self.arrays, "ids": self.ids[[self._row[id] for id in ids]]})

    def of(self, id: str) -> list[tuple[int, int]]:
        """(axis, first slice) of all examples of one sample."""
        self._row[id]
        return [self._place(place) for place in range(self.each)]

    def over(self, sample: Any) -> "Slices":
        """As many of another sample as there are, cut as these; raises ConfigError or DataError where it cannot be."""
        kind, where = "whole" if self.whole else "slices", f"sample {sample.id!r}: crops"
        found = Slices(index([sample], kind, self.axes, self.thickness, self.step, where))
        if found.edges != self.edges:
            own, known = ("x".join(map(str, edges)) for edges in (found.edges, self.edges))
            what = "voxels" if self.whole else "slices of"
            raise DataError(f"sample {sample.id!r}: {what} {own}; the model was trained on {known}")
        return found

    def __len__(self) -> int:
        return len(self.ids) * self.each

    def __getitem__(self, number: int) -> tuple[str, int, int]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        row, place = divmod(number % len(self), self.each)
        return str(self.ids[row]), *self._place(place)

    def _place(self, place: int) -> tuple[int, int]:
        for axis, count in zip(self.axes, self.counts, strict=True):
            if place < count:
                return axis, place * self.step
            place -= count
        raise IndexError(f"place {place}, behind the last axis")

    @cached_property
    def _row(self) -> Rows:
        return Rows(self.ids)


def index(
    catalogue: Iterable[Any],
    kind: str,
    axes: Sequence[int] = (0, 1, 2),
    thickness: int = 1,
    step: int | None = None,
    where: str = "crops",
) -> dict[str, np.ndarray]:
    """The lattice of "slices", or of "whole" samples, over the inputs of a catalogue: the arrays that `Slices` takes.

    step: distance between first slices [voxels], the thickness if None; thick slices go around a periodic box
    where: the key that the errors name
    Raises ConfigError on slices that the fields do not have, or where some voxels would be in more examples than others
    without being asked for; DataError on samples of different edges.
    """
    samples = list(catalogue)
    if not samples:
        raise DataError(f"{where}: the catalogue has no samples; expected at least one")
    first = samples[0]
    for sample in samples:
        if (sample.shape("input"), sample.periodic) != (first.shape("input"), first.periodic):
            shapes = f"{sample.shape('input')}, {first.id!r} has {first.shape('input')}"
            raise DataError(f"{where}: sample {sample.id!r} has {shapes}; expected equal shapes, all periodic or none")
    space = tuple(first.shape("input")[1:])
    arrays = {"ids": np.array([sample.id for sample in samples]), "digest": np.array(digest(samples))}
    if kind == "whole":
        return {**arrays, **_arrays([WHOLE], [1], 1, 1, space)}
    _check(space, axes, thickness, where)
    counts = [_count(space[axis], thickness, step or thickness, first.periodic, where) for axis in axes]
    edges = tuple(n for axis, n in enumerate(space) if axis != axes[0])
    return {**arrays, **_arrays(axes, counts, thickness, step or thickness, edges)}


def digest(samples: Iterable[Any]) -> str:
    """Of what an index depends on: id, edges of the input and along which axes it is periodic, of each sample."""
    facts = [(sample.id, tuple(sample.shape("input")[1:]), tuple(sample.around)) for sample in samples]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def turned(
    block: np.ndarray, sample: Sample, axis: int, rng: np.random.Generator, kinds: Collection[str]
) -> np.ndarray:
    """An example (C, thickness, *space) under a random symmetry: of the square or the cube, and periodic shifts.

    kinds: "flip", "permute" and "shift"; what flips turns the order of thick slices as well, and mirrors vectors in
    the plane of a slice. Components of vectors turn with the axes. float32, contiguous.
    """
    _, thickness, *space = block.shape
    along = [n for n in range(len(sample.box_size)) if n != axis]
    voxels = [sample.box_size[n] / edge for n, edge in zip(along, space, strict=True)]
    symmetry = draw(rng, kinds, space, space, sample.periodic, voxels)
    parts = sample.quantities("input")
    if axis == WHOLE:
        field = symmetry.apply(block[:, 0], parts)[:, None]
    else:
        has_sides = thickness > 1 or any(name != "scalar" for name, _ in parts)
        backwards = "flip" in kinds and has_sides and bool(rng.integers(2))
        turn = _in_space(symmetry, axis, along, backwards)
        field = np.moveaxis(turn.apply(np.moveaxis(block, 1, 1 + axis), parts), 1 + axis, 1)
    if any(symmetry.shift):
        field = np.roll(field, [-shift for shift in symmetry.shift], tuple(range(2, field.ndim)))
    return np.ascontiguousarray(field)


def _in_space(symmetry: Symmetry, axis: int, along: Sequence[int], backwards: bool) -> Symmetry:
    """A symmetry of slices that stand on `axis` as one of the box; `backwards` if it turns their order."""
    axes, signs = [axis] * (1 + len(along)), [-1 if backwards else 1] * (1 + len(along))
    for place, source, sign in zip(along, symmetry.axes, symmetry.signs, strict=True):
        axes[place], signs[place] = along[source], sign
    return Symmetry(tuple(axes), tuple(signs))


def _arrays(
    axes: Sequence[int], counts: Sequence[int], thickness: int, step: int, edges: Sequence[int]
) -> dict[str, np.ndarray]:
    known = {"axes": axes, "counts": counts, "thickness": thickness, "step": step, "edges": edges}
    return {name: np.array(value, np.int64) for name, value in known.items()}


def _check(space: tuple[int, ...], axes: Sequence[int], thickness: int, where: str) -> None:
    if len(space) != 3:
        raise ConfigError(f"{where}.kind: slices, of fields with {len(space)} axes; expected cubes, or kind: whole")
    for axis in axes:
        if thickness > space[axis]:
            raise ConfigError(f"{where}.thickness: {thickness}, of {space[axis]} voxels; expected at most so many")
    if len({tuple(sorted(space[:axis] + space[axis + 1 :])) for axis in axes}) > 1:
        text = f"{list(axes)} of {space} voxels give slices of different edges; expected axes of equal ones"
        raise ConfigError(f"{where}.axes: {text}")


def _count(length: int, thickness: int, step: int, periodic: bool, where: str) -> int:
    """How many examples there are along an axis of `length`."""
    around = periodic and step < thickness
    room = length if around or step > thickness else length - thickness + step
    if step <= thickness and room % step:
        text = f"every {step} slices, of thickness {thickness}, {length} voxels are not divided evenly"
        raise ConfigError(f"{where}.step: {text}; expected a divisor of {length}")
    return room // step if step <= thickness else (length - thickness) // step + 1
