"""Power and cross spectra of fields in periodic boxes: any shape, 1-D to 3-D, scalars and vectors.

Conventions: d_k = sum_x d(x) exp(-i k x), P = V / N^2 <|d_k|^2> over the modes of a shell, k = 2 pi n_i / L_i.
Shells are [j, j + 1) in units of the fundamental frequency of the longest axis, j = 1, 2, ..., as long as they end at
or below the Nyquist frequency of every axis: each shell holds all of its modes. The k of a shell is the mean |k| of
its modes, and `modes` counts k and -k. The power of a vector is the sum over its components.

Memory: one FFT a field at a time (its own size), slabs of about 1 MiB, and a cached table of the shells, one sixteenth
of a float32 field. `scipy.fft.set_workers` sets the threads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft

from ..errors import DataError
from .assignment import density, window
from .grid import wave_vectors

__all__ = ["Power", "Spectra", "density_spectra", "helmholtz", "power", "spectra", "taper", "tapered_spectra"]

SLAB = 2**20  # bytes of one product: small enough for a core's own cache
TIES = 1.0e-12  # relative to |n|^2: far above rounding, far below the gap to the nearest shell edge that is no tie


class Power(NamedTuple):
    """The power spectrum of one field: k [h/Mpc], number of modes, power [(Mpc/h)^d times the field's unit squared]."""

    k: np.ndarray
    modes: np.ndarray
    power: np.ndarray


@dataclass(frozen=True, eq=False)
class Spectra:
    """Two power spectra and the cross spectrum, signed, on the same shells (see the module for units)."""

    k: np.ndarray
    modes: np.ndarray
    power_a: np.ndarray
    power_b: np.ndarray
    cross: np.ndarray


def power(field: np.ndarray, box_size: tuple[float, ...]) -> Power:
    """P(k) of `field`, (*space) or (components, *space), in a box of `box_size` [Mpc/h] per axis.

    float32 fields are transformed in float32, all others in float64; sums are always float64.
    Raises DataError when a value is not finite and ValueError when field and box do not fit.
    """
    parts = _components(field, box_size)
    shells = _shells(parts.shape[1:], tuple(box_size))
    total = sum(_binned(modes, modes, shells) for modes in map(_modes, parts))
    return Power(shells.k.copy(), shells.modes.copy(), shells.mean(total))


def spectra(a: np.ndarray, b: np.ndarray, box_size: tuple[float, ...]) -> Spectra:
    """P_a, P_b and the cross spectrum Re <a b*> of two fields of one shape; arguments and errors as for `power`."""
    a, b = _components(a, box_size), _components(b, box_size)
    if a.shape != b.shape:
        raise ValueError(f"two fields of shapes {a.shape} and {b.shape}; expected one shape")
    return _spectra(((_modes(x), _modes(y)) for x, y in zip(a, b, strict=True)), a.shape[1:], box_size)


def tapered_spectra(a: np.ndarray, b: np.ndarray, box_size: tuple[float, ...], around: Sequence[bool]) -> Spectra:
    """The same for fields that repeat along the axes `around` alone: mean removed, a Hann taper along all others.

    Power is divided by the mean squared taper. Without one the jump between opposite faces adds tens of percent to red
    spectra; along an axis that goes on it would only mix shells. Shells below about three fundamental frequencies of
    the tapered axes stay biased.
    """
    a, b = _components(a, box_size), _components(b, box_size)
    weight = taper(a.shape[1:], around)
    weight /= np.sqrt(np.mean(weight**2))
    return spectra(*(_levelled(field) * weight.astype(field.dtype) for field in (a, b)), box_size)


def taper(shape: tuple[int, ...], around: Sequence[bool]) -> np.ndarray:
    """Product of Hann windows sin^2(pi (i + 1/2) / n), one an axis that does not go `around`; (*shape) float64.

    Axes of one cell are left alone.
    """
    known = zip(shape, around, strict=True)
    axes = [np.ones(n) if goes_on else np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n, goes_on in known]
    return _outer(axes, np.multiply)


def density_spectra(displacement_a: np.ndarray, displacement_b: np.ndarray, box_size: tuple[float, ...]) -> Spectra:
    """Spectra of the overdensities to which two displacements (d, *space) [Mpc/h] move a lattice of particles.

    Cloud-in-cell on two meshes half a cell apart, interlaced, and divided by the window (Sefusatti et al. 2016,
    arXiv:1512.07295): right to a tenth of a percent up to the Nyquist frequency. Shot noise is kept.
    """
    a, b = _components(displacement_a, box_size), _components(displacement_b, box_size)
    return _spectra([(_interlaced(a, box_size), _interlaced(b, box_size))], a.shape[1:], box_size)


def helmholtz(a: np.ndarray, b: np.ndarray, box_size: tuple[float, ...]) -> tuple[Spectra, Spectra]:
    """Spectra of the parts along k (divergence) and across k (curl) of two vector fields (d, *space).

    The power of the divergence i k.v itself is k^2 times the first. Relative to the whole power, the second is good
    to 1e-7 for float32 fields.
    """
    a, b = _components(a, box_size), _components(b, box_size)
    if a.shape != b.shape or len(a) != len(box_size):
        raise ValueError(f"vectors of shapes {a.shape} and {b.shape}; expected {len(box_size)} components each")
    first = _spectra([(_along(a, box_size), _along(b, box_size))], a.shape[1:], box_size)
    whole = spectra(a, b, box_size)
    rest = (np.maximum(getattr(whole, n) - getattr(first, n), 0) for n in ("power_a", "power_b"))
    return first, Spectra(first.k, first.modes, *rest, whole.cross - first.cross)


# ---- geometry: which shell each wave is in, for the waves with all n_i >= 0 only, the others being mirror images


@dataclass(frozen=True, eq=False)
class _Shells:
    index: np.ndarray  # shell of each wave, as far along each axis as shells go; 0 is the mean, the last one is beyond
    count: int  # shells with these two
    k: np.ndarray
    modes: np.ndarray
    scale: float  # V / N^2

    def mean(self, total: np.ndarray) -> np.ndarray:
        return total[1:-1] * (self.scale / self.modes)


@lru_cache(maxsize=2)
def _shells(shape: tuple[int, ...], box_size: tuple[float, ...]) -> _Shells:
    unit = max([length for n, length in zip(shape, box_size, strict=True) if n > 1], default=max(box_size))
    axes = [(n, unit / length) for n, length in zip(shape, box_size, strict=True)]
    nyquist = min([n / 2 * ratio for n, ratio in axes if n > 1], default=1.0)
    beyond = max(int(nyquist * (1 + TIES)), 1)
    waves = [np.arange(min(int(beyond / ratio), (n - 1) // 2) + 1) for n, ratio in axes]
    squared = _outer([(wave * ratio) ** 2 for wave, (_, ratio) in zip(waves, axes, strict=True)], np.add)
    index = np.minimum(np.sqrt(squared * (1 + TIES)), beyond).astype(np.min_scalar_type(beyond))
    weights = _outer([np.where(wave > 0, 2.0, 1.0) for wave in waves], np.multiply)
    modes = np.bincount(index.ravel(), weights.ravel(), beyond + 1)[1:-1]
    length = np.bincount(index.ravel(), (weights * np.sqrt(squared)).ravel(), beyond + 1)[1:-1]
    scale = float(np.prod(box_size)) / float(np.prod(shape)) ** 2
    return _Shells(index, beyond + 1, 2 * np.pi / unit * length / modes, modes.astype(np.int64), scale)


def _outer(axes: list[np.ndarray], combine: np.ufunc) -> np.ndarray:
    """combine(axes[0][i], axes[1][j], ...) for all i, j, ..."""
    total = axes[0]
    for axis in axes[1:]:
        total = combine.outer(total, axis)
    return total


# ---- transforms


def _components(field: np.ndarray, box_size: tuple[float, ...]) -> np.ndarray:
    dims = len(box_size)
    if dims not in (1, 2, 3) or field.ndim not in (dims, dims + 1) or field.size == 0:
        raise ValueError(f"a field of shape {field.shape} in a box of {dims} axes; expected 1 to 3 axes, or one more")
    if not np.issubdtype(field.dtype, np.floating):
        field = field.astype(np.float64)
    return field if field.ndim == dims + 1 else field[None]


def _levelled(field: np.ndarray) -> np.ndarray:
    return field - field.mean(axis=tuple(range(1, field.ndim)), dtype=np.float64, keepdims=True).astype(field.dtype)


def _modes(field: np.ndarray) -> np.ndarray:
    """The real FFT of `field` (*space), free to drop its mean.

    In float32 a mean above the swing would cost digits and extreme units would leave the range of the squares:
    the former is taken off, the latter go to float64.
    """
    low, high = float(field.min()), float(field.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("spectrum: the field has values that are not finite; expected finite numbers")
    middle, swing = low / 2 + high / 2, high / 2 - low / 2
    if field.dtype != np.float32 or not 1e-9 < swing < 1e18 / field.size:
        field = field.astype(np.float64, copy=False)
    if abs(middle) > swing:
        field = field - field.dtype.type(middle)
    return scipy.fft.rfftn(field)


def _along(field: np.ndarray, box_size: tuple[float, ...]) -> np.ndarray:
    """Modes of the component along k of a vector field, k.v / |k|."""
    waves = wave_vectors(field.shape[1:], box_size)
    norm = np.sqrt(sum(k**2 for k in waves))
    norm.flat[0] = 1
    total = 0
    for k, part in zip(waves, field, strict=True):
        modes = _modes(part)
        modes *= k.astype(modes.real.dtype)
        total += modes
    return total / norm.astype(modes.real.dtype)


def _interlaced(displacement: np.ndarray, box_size: tuple[float, ...]) -> np.ndarray:
    """Modes of the density, free of the window and of the odd images that one mesh alone would alias."""
    kind = displacement.dtype
    modes, shifted = (_modes(density(displacement, box_size, shift=s).astype(kind, copy=False)) for s in (0.0, 0.5))
    waves = wave_vectors(displacement.shape[1:], box_size)
    cells = [length / n for length, n in zip(box_size, displacement.shape[1:], strict=True)]
    for k, cell in zip(waves, cells, strict=True):
        shifted *= np.exp(0.5j * k * cell).astype(shifted.dtype)
    modes += shifted
    for k, cell in zip(waves, cells, strict=True):
        modes /= window(k, cell).astype(modes.real.dtype)
    modes /= 2
    return modes


def _spectra(pairs: Iterable[tuple[np.ndarray, np.ndarray]], shape: tuple, box_size: tuple[float, ...]) -> Spectra:
    """Spectra from pairs of real FFTs, one a component."""
    shells = _shells(tuple(shape), tuple(box_size))
    totals = np.zeros((3, shells.count))
    for a, b in pairs:
        for total, (x, y) in zip(totals, ((a, a), (b, b), (a, b)), strict=True):
            total += _binned(x, y, shells)
    return Spectra(shells.k.copy(), shells.modes.copy(), *(shells.mean(total) for total in totals))


# ---- sums over shells


def _binned(a: np.ndarray, b: np.ndarray, shells: _Shells) -> np.ndarray:
    """Sum of Re(a b*) over k and -k in every shell, float64; a and b are real FFTs."""
    a, b, shell = (x if x.ndim > 1 else x[None] for x in (a, b, shells.index))  # a line is a plane of one row
    rows, reach = max(1, SLAB // a[0].nbytes), shell.shape
    a, b = a.view(a.real.dtype), b.view(b.real.dtype)
    total = np.zeros(shells.count)
    for start in range(0, reach[0], rows):
        index = shell[start : start + rows]
        products = _folded(a, b, start, start + len(index), reach)
        total += np.bincount(index.ravel(), products.ravel(), shells.count)
    return total


def _folded(a: np.ndarray, b: np.ndarray, start: int, stop: int, reach: tuple[int, ...]) -> np.ndarray:
    """Re(a b*) summed over the signs of all n_i, |n_i| < reach_i and start <= |n_1| < stop.

    Real and imaginary parts alternate in a, b. No shell has waves at a Nyquist frequency, so all but n_i = 0 are twins.
    """
    product = a[start:stop] * b[start:stop]
    n, low = len(a), max(start, 1)
    if low < stop:
        mirror = slice(n - stop + 1, n - low + 1)
        product[low - start :] += (a[mirror] * b[mirror])[::-1]
    for axis in range(1, len(reach) - 1):
        product = np.moveaxis(product, axis, 0)
        product[1 : reach[axis]] += product[len(product) - reach[axis] + 1 :][::-1]
        product = np.moveaxis(product[: reach[axis]], 0, axis)
    product = product[..., : 2 * reach[-1]]
    summed = product[..., 0::2] + product[..., 1::2]
    summed[..., 1:] *= 2
    return summed
