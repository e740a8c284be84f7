"""Mass assignment: a lattice of displaced particles painted onto a periodic mesh, and a mesh read at the particles.

Particle i of a lattice of n along an axis starts at i M/n + 1/2 in units of the M mesh cells, mesh point j being at j.
There, in the middle of a mesh cell, the response to small displacements is linear and particles at rest are uniform
(M = n, 2n, n/2); on a mesh point neither would be so. `shift` moves all particles by that many mesh cells: 0.5 is for
the second density of interlacing, and -0.5, with M = n, aligns the mesh with the voxels of a displacement field.

The weights are the cardinal B-splines of Hockney & Eastwood 1981, chapter 5: order 1 is NGP, 2 CIC, 3 TSC, 4 PCS.
Memory besides the result (8 bytes a mesh cell when painting) does not grow with the number of particles: they are
worked on in slabs of 2^15, or of one plane of the lattice if that holds more, at 250 bytes each for order 4.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import DataError
from .grid import per_axis

__all__ = ["density", "paint", "read", "window"]

SLAB = 2**15  # particles; small enough for a core's own cache


def density(
    displacement: np.ndarray,
    box_size: float | Sequence[float],
    mesh: int | Sequence[int] | None = None,
    order: int = 2,
    shift: float = 0.0,
) -> np.ndarray:
    """Overdensity, float64 `(*mesh)`, of lattice particles moved by `displacement` `(d, *lattice)` [Mpc/h]; mean 0."""
    mass = paint(displacement, box_size, mesh, order, shift)
    mass *= mass.size / math.prod(displacement.shape[1:])
    mass -= 1.0
    return mass


def paint(
    displacement: np.ndarray,
    box_size: float | Sequence[float],
    mesh: int | Sequence[int] | None = None,
    order: int = 2,
    shift: float = 0.0,
) -> np.ndarray:
    """Particles per mesh cell, float64 `(*mesh)`; the mesh is as fine as the lattice unless given.

    Raises DataError when a displacement is not finite.
    """
    dims = len(displacement)
    mesh = displacement.shape[1:] if mesh is None else per_axis(mesh, dims)
    mass = np.zeros(math.prod(mesh))
    for _, stencil in _stencils(displacement, box_size, mesh, order, shift):
        for point, weight in _points(stencil, mesh):
            np.add.at(mass, point, weight.astype(np.float64, copy=False))  # both float64: numpy's fast path
    return mass.reshape(mesh)


def read(
    field: np.ndarray,
    displacement: np.ndarray,
    box_size: float | Sequence[float],
    order: int = 2,
    shift: float = 0.0,
) -> np.ndarray:
    """Meshes `field` `(C, *mesh)` interpolated at the particles, `(C, *lattice)`: the transpose of `paint`.

    sum(field * paint(displacement)) equals sum(read(field, displacement)), so that a force painted and read with the
    same arguments conserves momentum.
    """
    channels, *mesh = field.shape
    flat = field.reshape(channels, -1)
    values = np.zeros((channels, *displacement.shape[1:]), np.result_type(field, displacement))
    for rows, stencil in _stencils(displacement, box_size, mesh, order, shift):
        slab = values[:, rows].reshape(channels, -1)  # whole rows lie together: a view of each channel
        for point, weight in _points(stencil, mesh):
            for channel, source in zip(slab, flat, strict=True):
                channel += weight * source.take(point)
        values[:, rows] = slab.reshape(values[:, rows].shape)
    return values


def window(k: np.ndarray, cell: float, order: int = 2) -> np.ndarray:
    """Fourier transform of the assignment along one axis: sinc(k cell / 2)^order, for `k` [h/Mpc], `cell` [Mpc/h].

    A painted density is that of the particles times the product of this over the axes (Jing 2005, astro-ph/0409240).
    """
    return np.sinc(np.asarray(k) * cell / (2.0 * math.pi)) ** order


# ---- which mesh points a particle touches, and how much

Axis = tuple[list[np.ndarray], list[np.ndarray]]  # the `order` mesh indices along one axis, and their weights


def _stencils(
    displacement: np.ndarray, box_size: float | Sequence[float], mesh: Sequence[int], order: int, shift: float
) -> Iterator[tuple[slice, list[Axis]]]:
    """Slabs of the lattice along its first axis, each with the stencils of its particles (flattened) per axis."""
    dims, *lattice = displacement.shape
    scales = [float(cells / length) for cells, length in zip(mesh, per_axis(box_size, dims), strict=True)]
    homes = [_home(axis, lattice, mesh[axis], shift + 1.5 - order / 2.0) for axis in range(dims)]
    thickness = max(1, SLAB // math.prod(lattice[1:]))
    for start in range(0, lattice[0], thickness):
        rows = slice(start, start + thickness)
        near = [homes[0][rows], *homes[1:]]
        yield rows, [_stencil(displacement[a, rows] * scales[a], near[a], mesh[a], order) for a in range(dims)]


def _home(axis: int, lattice: Sequence[int], cells: int, offset: float) -> np.ndarray:
    """Unmoved positions along an axis [mesh cells], shaped to broadcast."""
    position = np.arange(lattice[axis]) * (cells / lattice[axis]) + offset
    return position.reshape([-1 if i == axis else 1 for i in range(len(lattice))])


def _stencil(moved: np.ndarray, home: np.ndarray, cells: int, order: int) -> Axis:
    """Indices and weights along one axis of particles `moved` [mesh cells] from `home`.

    Whole cells of `home` are added after the fractions are known, so that float32 loses nothing on large meshes.
    """
    whole = np.floor(home)
    position = (moved + (home - whole).astype(moved.dtype)).ravel()
    first = np.floor(position)
    position -= first
    first = (first.reshape(moved.shape) + whole.astype(moved.dtype)).ravel()
    indices = [_wrapped(first, cells).astype(np.intp)]
    successor = np.roll(np.arange(cells), -1)
    while len(indices) < order:
        indices.append(successor.take(indices[-1]))
    return indices, _splines(position, order)


def _wrapped(index: np.ndarray, cells: int) -> np.ndarray:
    """Whole-numbered floats `index` modulo `cells`."""
    extreme = max(-index.min(), index.max())
    if not np.isfinite(extreme):
        raise DataError("displacement: holds NaN or infinite values; expected finite ones [Mpc/h]")
    if extreme > 2**22:  # the quick way below would round in float32
        return np.remainder(index, cells)
    laps = np.floor(index / cells)
    laps *= cells
    return index - laps


def _splines(u: np.ndarray, order: int) -> list[np.ndarray]:
    """Weights of the `order` mesh points around a particle, where `u` in [0, 1) grows towards the last one."""
    v = 1.0 - u
    if order == 1:
        return [np.ones_like(u)]
    if order == 2:
        return [v, u]
    if order == 3:
        return [0.5 * v * v, 0.5 + u * v, 0.5 * u * u]
    if order == 4:
        return [v**3 / 6.0, 2.0 / 3.0 - u * u * (1.0 - 0.5 * u), 2.0 / 3.0 - v * v * (1.0 - 0.5 * v), u**3 / 6.0]
    raise ValueError(f"order {order}; expected 1 (NGP), 2 (CIC), 3 (TSC) or 4 (PCS)")


def _points(axes: list[Axis], mesh: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(flat mesh index, weight) of each of the order^d mesh points of all particles, one after the other."""
    *outer, (indices, weights) = axes
    if not outer:
        yield from zip(indices, weights, strict=True)
        return
    for row, share in _points(outer, mesh[:-1]):
        start = row * mesh[-1]
        for index, weight in zip(indices, weights, strict=True):
            yield start + index, share * weight
