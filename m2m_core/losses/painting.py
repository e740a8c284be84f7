"""Lattices of displaced particles painted onto meshes, cloud in cell, so that gradients flow to the displacements.

The lattice is that of `physics.assignment`: particle i of n along an axis is at i M/n + 1/2 in units of the M mesh
cells, mesh point j at j, and the mesh is a torus: no particle is ever lost. Cloud-in-cell weights: Hockney & Eastwood
1981, chapter 5.

Particles are worked on in slabs, in float64, and the backward pass works everything out again instead of keeping it:
besides the displacement and the mesh, memory is a slab and 16 bytes a mesh cell. Sums are of whole numbers (`sums`):
they hold all the mass, and have the same bits on every run, on a GPU as well. The backward pass only reads.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .sums import scale_of

__all__ = ["paint"]

SLAB = {"cpu": 2**15, "cuda": 2**21}  # particles: within a core's cache; few kernels
Axis = tuple[tuple[Tensor, Tensor], Tensor]  # flat indices of the two mesh points, and the share of the second


def paint(
    displacement: Tensor,
    weights: Tensor | None = None,
    mesh: Sequence[int] | None = None,
    margin: int = 0,
    shift: float = 0.0,
) -> Tensor:
    """What each mesh cell holds, (B, C, *mesh), of lattices (B, d, *n) moved by `displacement` [mesh cells].

    weights: what each particle carries, (B, C, *n); 1 unless given, so that C is 1
    mesh: cells along each axis of the lattice, as many as particles unless given
    margin: cells more on each side, beyond which the torus closes
    shift: moves all particles [mesh cells]
    An example in which a number is not finite holds NaN alone.
    """
    return _Paint.apply(displacement, weights, tuple(mesh or displacement.shape[2:]), margin, shift)


@dataclass(frozen=True)
class _Lattice:
    """Where the particles of a batch are at rest."""

    examples: int
    shape: tuple[int, ...]
    mesh: tuple[int, ...]
    margin: int
    shift: float

    @property
    def cells(self) -> tuple[int, ...]:
        return tuple(cells + 2 * self.margin for cells in self.mesh)

    def slabs(self, displacement: Tensor) -> Iterator[tuple[slice, list[Axis], Tensor]]:
        """Rows of the first axis, the stencils of their particles (B, P), and which examples (B,) are finite there."""
        room = SLAB.get(displacement.device.type, SLAB["cpu"])
        thickness = max(1, room // (self.examples * math.prod(self.shape[1:])))
        for start in range(0, self.shape[0], thickness):
            rows = slice(start, start + thickness)
            moved = displacement[:, :, rows].double()
            finite = moved.flatten(1).sum(1).isfinite()
            moved = moved.nan_to_num(0.0, 0.0, 0.0)
            yield rows, [self._stencil(moved[:, axis], axis, rows) for axis in range(len(self.shape))], finite

    def _stencil(self, moved: Tensor, axis: int, rows: slice) -> Axis:
        """Along one axis; the flat indices of the first one tell the example as well."""
        cells, stride = self.cells[axis], math.prod(self.cells[axis + 1 :])
        home = torch.arange(self.shape[axis], device=moved.device)[rows if axis == 0 else slice(None)].double()
        home = home * (self.mesh[axis] / self.shape[axis]) + (0.5 + self.shift + self.margin)
        position = (moved + home.reshape([-1 if i == axis else 1 for i in range(len(self.shape))])).flatten(1)
        below = position.floor()
        share = position - below
        first = below.remainder_(cells).long()
        second = first + 1
        second.masked_fill_(second == cells, 0)
        examples = torch.arange(self.examples, device=moved.device)[:, None] * math.prod(self.cells)
        low, high = (index.mul_(stride) + (examples if axis == 0 else 0) for index in (first, second))
        return (low, high), share


def _corners(axes: list[Axis], point: Tensor | int, part: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each of the 2^d mesh points around every particle, its flat index and its part of the whole `part`."""
    if not axes:
        yield point, part  # type: ignore[misc]
        return
    (low, high), share = axes[0]
    second = part * share
    yield from _corners(axes[1:], low + point, part - second)
    yield from _corners(axes[1:], high + point, second)


class _Paint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, displacement: Tensor, weights: Tensor | None, mesh: tuple[int, ...], margin: int, shift: float
    ) -> Tensor:
        lattice = _Lattice(len(displacement), tuple(displacement.shape[2:]), mesh, margin, shift)
        ctx.lattice = lattice
        ctx.save_for_backward(displacement, weights)
        largest, weights = _largest(weights, displacement), _carried(weights, displacement)
        finite = largest.isfinite().all(1)
        scale = scale_of(torch.where(finite[:, None], largest, 0.0), math.prod(lattice.shape))
        size = len(displacement) * math.prod(lattice.cells)
        sums = torch.zeros(weights.shape[1], size, dtype=torch.int64, device=weights.device)
        for rows, axes, known in lattice.slabs(displacement):
            finite &= known
            carried = weights[:, :, rows].flatten(2).double().nan_to_num(0.0, 0.0, 0.0) * scale[:, :, None]
            for channel, total in enumerate(sums):
                _spread(carried[:, channel], axes, total)
        step = torch.where(finite[:, None], 1.0 / scale, torch.nan)
        out = displacement.new_empty(len(displacement), weights.shape[1], *lattice.cells)
        for channel, total in enumerate(sums):
            out[:, channel] = total.double().view(len(out), -1).mul_(step[:, channel, None]).view(out[:, channel].shape)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        displacement, weights = ctx.saved_tensors
        of_moves = torch.empty_like(displacement)
        of_weights = torch.empty_like(weights) if ctx.needs_input_grad[1] else None
        weights = _carried(weights, displacement)
        grad = grad.transpose(0, 1).flatten(1)
        for rows, axes, _ in ctx.lattice.slabs(displacement):
            carried = weights[:, :, rows]
            moves, loads = _collected(grad, carried.flatten(2), axes)
            of_moves[:, :, rows] = moves.view(of_moves[:, :, rows].shape)
            if of_weights is not None:
                of_weights[:, :, rows] = loads.view(carried.shape)
        return of_moves, of_weights, None, None, None


def _carried(weights: Tensor | None, displacement: Tensor) -> Tensor:
    """What each particle carries, (B, C, *n): a one that takes no memory unless given."""
    ones = displacement.new_ones(()).expand(len(displacement), 1, *displacement.shape[2:])
    return ones if weights is None else weights


def _largest(weights: Tensor | None, displacement: Tensor) -> Tensor:
    """The greatest absolute value that an example has, (B, C)."""
    if weights is None:
        return displacement.new_ones(len(displacement), 1)
    space = tuple(range(2, weights.ndim))
    return torch.maximum(weights.amax(space), -weights.amin(space))


def _spread(carried: Tensor, axes: list[Axis], total: Tensor) -> None:
    """Add what particles carry (B, P), in whole numbers, to the cells `total`; the last point gets what is left."""
    left, count = carried.long(), 2 ** len(axes)
    for number, (point, part) in enumerate(_corners(axes, 0, carried), 1):
        whole = part.long() if number < count else left
        total.index_add_(0, point.flatten(), whole.flatten())
        left -= whole


def _collected(grad: Tensor, carried: Tensor, axes: list[Axis]) -> tuple[Tensor, Tensor]:
    """Derivatives by the displacements (B, d, P) and by the weights (B, C, P); `grad` (C, cells) is that of cells."""
    kind = carried.dtype
    shares = [share.to(kind) for _, share in axes]
    points = [point for point, _ in _corners(axes, 0, shares[0])]
    of_moves, of_loads = carried.new_zeros(len(carried), len(axes), carried.shape[2]), torch.empty_like(carried)
    for channel, row in enumerate(grad.to(kind)):
        of_loads[:, channel], slopes = _read([row[point] for point in points], shares)
        for axis, slope in enumerate(slopes):
            of_moves[:, axis].addcmul_(carried[:, channel], slope)
    return of_moves, of_loads


def _read(values: list[Tensor], shares: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Between 2^d corners, the last axis varying fastest: the value and its derivative along each axis."""
    slopes: list[list[Tensor]] = []
    for share in reversed(shares):
        slopes = [_between(along, share) for along in slopes]
        slopes.insert(0, [high - low for low, high in zip(values[::2], values[1::2], strict=True)])
        values = _between(values, share)
    return values[0], [along[0] for along in slopes]


def _between(values: list[Tensor], share: Tensor) -> list[Tensor]:
    return [torch.lerp(low, high, share) for low, high in zip(values[::2], values[1::2], strict=True)]
