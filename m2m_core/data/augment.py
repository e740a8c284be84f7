"""Random symmetries, places and small changes of crops: fields transform as what they are.

Nothing is remembered from one draw to the next, and nothing is guessed from the number of channels: the catalogue says
which channels are scalars and which are the components of vectors.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError

__all__ = ["QUANTITIES", "Change", "Symmetry", "draw", "draw_change", "identity"]

Quantities = Sequence[tuple[str, int]]
VECTORS = ("vector", "displacement", "pseudovector")
QUANTITIES = ("scalar", *VECTORS)


@dataclass(frozen=True)
class Symmetry:
    """A reflection or rotation of the axes of a box, one of 2^d d! in d dimensions, and a shift of what is read.

    Axis i of the result is axis `axes[i]` of the field, backwards where `signs[i]` is -1. Crops are read `shift` voxels
    further, and cyclically among the `room` starts that there are along each axis.
    """

    axes: tuple[int, ...]
    signs: tuple[int, ...]
    shift: tuple[int, ...] = ()
    room: tuple[int, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether fields look the same after it; it may still move what is read."""
        return self.axes == tuple(range(len(self.axes))) and -1 not in self.signs

    @property
    def handedness(self) -> int:
        """-1 for a mirror image, 1 for a rotation."""
        turns = sum(a > b for i, a in enumerate(self.axes) for b in self.axes[i + 1 :])
        return math.prod(self.signs) * (-1) ** turns

    def moved(self, start: Sequence[int], origin: Sequence[int] | None = None) -> tuple[int, ...]:
        """Where to read a crop [voxels] that begins at `start`, in the part of the field that begins at `origin`."""
        if not self.shift:
            return tuple(start)
        axes = zip(start, self.shift, self.room, origin or (0,) * len(self.axes), strict=True)
        return tuple(o + (a - o + b) % room for a, b, room, o in axes)

    def apply(self, field: np.ndarray, quantities: Quantities, out: np.ndarray | None = None) -> np.ndarray:
        """The field (C, *space) as it looks after the symmetry, contiguous float32.

        quantities: (quantity, channels) of its parts, in order; a vector's channels are its components along the axes,
            one vector or several
        out: where to write it, contiguous float32, but for the identity: that returns a contiguous float32 field itself
        Raises DataError on vectors whose components do not match the axes.
        """
        order, signs = self._channels(quantities, len(field))
        if self.is_identity:
            return np.ascontiguousarray(field, np.float32)
        turned = field.transpose(0, *(1 + axis for axis in self.axes))
        turned = turned[:, *(slice(None, None, sign) for sign in self.signs)]
        out = np.empty(turned.shape, np.float32) if out is None else out
        for channel, (source, sign) in enumerate(zip(order, signs, strict=True)):
            np.copyto(out[channel], turned[source], casting="same_kind")
            if sign < 0:  # by itself: on its way through a turned copy it would cost as much again
                np.negative(out[channel], out=out[channel])
        return out

    def before(self, sides: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """What to read (before, behind) a crop, along each axis, for `sides` of them to be there after `apply`."""
        read = [(0, 0)] * len(self.axes)
        for (low, high), axis, sign in zip(sides, self.axes, self.signs, strict=True):
            read[axis] = (low, high) if sign > 0 else (high, low)
        return tuple(read)

    def inverse(self) -> "Symmetry":
        """What undoes `apply`, to the last bit."""
        axes = tuple(self.axes.index(axis) for axis in range(len(self.axes)))
        return Symmetry(axes, tuple(self.signs[axis] for axis in axes))

    def after(self, first: "Symmetry") -> "Symmetry":
        """What `apply` of `first`, then of this one, amounts to."""
        axes = tuple(first.axes[axis] for axis in self.axes)
        return Symmetry(axes, tuple(sign * first.signs[axis] for axis, sign in zip(self.axes, self.signs, strict=True)))

    def _channels(self, quantities: Quantities, channels: int) -> tuple[list[int], list[int]]:
        """The channel that each channel of the result comes from, and its sign."""
        dims, order, signs = len(self.axes), [], []
        for quantity, count in quantities:
            begin = len(order)
            if quantity == "scalar":
                order += range(begin, begin + count)
                signs += [1] * count
            elif quantity in VECTORS and count % dims == 0:
                order += [begin + vector + axis for vector in range(0, count, dims) for axis in self.axes]
                mirrored = self.handedness if quantity == "pseudovector" else 1
                signs += [sign * mirrored for sign in self.signs] * (count // dims)
            else:
                wanted = f"a multiple of {dims} for a vector along {dims} axes"
                raise DataError(f"augment: {quantity!r} with {count} channels; expected scalars, or {wanted}")
        if len(order) != channels:
            raise DataError(f"augment: {channels} channels, but quantities of {len(order)}; expected equally many")
        return order, signs


def identity(dims: int) -> Symmetry:
    """The symmetry that changes nothing."""
    return Symmetry(tuple(range(dims)), (1,) * dims)


def draw(
    rng: np.random.Generator,
    kinds: Collection[str],
    size: Sequence[int],
    shape: Sequence[int],
    periodic: bool | Sequence[bool],
    cell: Sequence[float] | None = None,
    farthest: Sequence[int] | None = None,
) -> Symmetry:
    """A random symmetry for a crop, every admissible one equally likely.

    kinds: "flip" reverses axes, "permute" exchanges axes, "shift" moves the crop by whole voxels: to anywhere in a
        periodic box, and to where it stays inside another
    size, shape: edges of the crop, and of the part of the field that it is taken from [voxels], one an axis
    periodic: whether that part goes on where it ends, as a whole or along each axis
    cell: edges of a voxel [Mpc/h], equal ones if None; only axes that agree in it and in size are exchanged
    farthest: the crop moves by 0 to so many voxels along each axis, unless given as far as can be
    """
    dims = len(size)
    axes, signs, shift, room = np.arange(dims), np.ones(dims, int), (), ()
    if "permute" in kinds:
        for equal in _exchangeable(size, cell or (1.0,) * dims):
            axes[equal] = rng.permutation(equal)
    if "flip" in kinds:
        signs = 1 - 2 * rng.integers(0, 2, dims)
    if "shift" in kinds:
        around = (periodic,) * dims if isinstance(periodic, bool) else periodic
        room = tuple(n if goes_on else n - edge + 1 for n, edge, goes_on in zip(shape, size, around, strict=True))
        reach = room if farthest is None else tuple(min(r, f + 1) for r, f in zip(room, farthest, strict=True))
        shift = tuple(rng.integers(0, reach).tolist())
    return Symmetry(tuple(axes.tolist()), tuple(signs.tolist()), shift, room)


@dataclass(frozen=True)
class Change:
    """What the channels of a normalised field are multiplied with, and what is then added: (C,) float32 each."""

    factor: np.ndarray
    offset: np.ndarray

    def apply(self, field: np.ndarray) -> np.ndarray:
        """The field (C, *space), changed in place."""
        shape = -1, *[1] * (field.ndim - 1)
        field *= self.factor.reshape(shape)
        field += self.offset.reshape(shape)
        return field


def draw_change(
    rng: np.random.Generator, factor: float, offset: float, input: Quantities, target: Quantities, dims: int
) -> tuple[Change, Change]:
    """The same random change of input and target, each given by the (quantity, channels) of its parts, in order.

    factor: spread of the logarithm of what a scalar, or all components of a vector, is multiplied with
    offset: spread of what is added to each channel
    A part of the target changes with the first part of the input that is the same quantity with as many channels and
    has no other partner; one without a partner stays as it is.
    """
    changes = [_change(rng, factor, offset, *part, dims) for part in input]
    free = list(range(len(input)))
    matched = []
    for part in target:
        partner = next((i for i in free if tuple(input[i]) == tuple(part)), None)
        if partner is not None:
            free.remove(partner)
        matched.append(changes[partner] if partner is not None else (np.ones(part[1], "f4"), np.zeros(part[1], "f4")))
    return _joined(changes), _joined(matched)


def _change(
    rng: np.random.Generator, factor: float, offset: float, quantity: str, channels: int, dims: int
) -> tuple[np.ndarray, np.ndarray]:
    together = dims if quantity in VECTORS else 1
    factors = np.exp(factor * rng.standard_normal(-(-channels // together)))
    return np.repeat(factors, together)[:channels].astype("f4"), (offset * rng.standard_normal(channels)).astype("f4")


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Change:
    factors, offsets = zip(*parts, strict=True)
    return Change(np.concatenate(factors), np.concatenate(offsets))


def _exchangeable(size: Sequence[int], cell: Sequence[float]) -> list[list[int]]:
    """Axes by what they have in common; cells that differ by rounding are equal."""
    kinds = [(edge, round(length / max(cell), 6)) for edge, length in zip(size, cell, strict=True)]
    return [[axis for axis, other in enumerate(kinds) if other == kind] for kind in sorted(set(kinds))]
