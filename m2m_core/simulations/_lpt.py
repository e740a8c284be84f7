"""Initial conditions: a Gaussian random field and its first- and second-order Lagrangian displacements."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import scipy.fft

from ..physics.grid import frequencies, gradient_vectors, wave_vectors

__all__ = ["coarser", "first_order", "linear_modes", "potential", "second_order"]


def linear_modes(
    mesh: int, box_size: float, power: Callable[[np.ndarray], np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """Fourier modes, complex64 `(N, N, N // 2 + 1)`, of a Gaussian overdensity; `power` is P(k [h/Mpc]) [(Mpc/h)^3].

    White noise drawn on the mesh is filtered by sqrt(P), evaluated once for every |n|^2 that occurs. The mean is 0, and
    so are the corners of the cube of modes beyond the Nyquist frequency, where no force of a mesh is isotropic.
    """
    modes = scipy.fft.rfftn(random.standard_normal((mesh,) * 3, dtype=np.float32), overwrite_x=True)
    nx, ny, nz = frequencies((mesh,) * 3)
    squares = np.arange(3 * (mesh // 2) ** 2 + 1)  # |n|^2
    amplitude = np.sqrt(power(2.0 * math.pi / box_size * np.sqrt(squares)) * (mesh / box_size) ** 3).astype(np.float32)
    amplitude[(squares == 0) | (4 * squares > mesh**2)] = 0.0
    for plane, n in zip(modes, nx.flat, strict=True):
        plane *= amplitude[n**2 + (ny**2 + nz**2)[0]]
    return modes


def coarser(modes: np.ndarray, factor: int) -> np.ndarray:
    """Those modes of a field that a mesh with `factor` times fewer cells a side has, inside its Nyquist frequency.

    Voxel i of the coarser field lies in the middle of the `factor` voxels from factor * i on, along each axis: half of
    factor - 1 voxels further than the first of them, which is the phase that is multiplied here.
    """
    fine, mesh = len(modes), len(modes) // factor
    numbers = frequencies((mesh,) * 3)
    kept = np.ix_(*(n.ravel() % fine for n in numbers))
    phase = sum(numbers) * (math.pi * (factor - 1) / fine)
    inside = 4 * sum(n**2 for n in numbers) < mesh**2
    return np.where(inside, modes[kept] * np.exp(1j * phase) / factor**3, 0.0).astype(np.complex64)


def first_order(modes: np.ndarray, box_size: float) -> np.ndarray:
    """psi_1 [Mpc/h], float32 `(3, N, N, N)`, the Zel'dovich displacement per growth factor: div psi_1 = -delta."""
    return _gradient(potential(-modes, box_size), box_size)


def second_order(modes: np.ndarray, box_size: float) -> np.ndarray:
    """psi_2 [Mpc/h], float32 `(3, N, N, N)`: displacements are D psi_1 + D2 psi_2 (D2 < 0) to second order.

    psi_2 = grad phi_2 with laplace phi_2 = sum_{i<j} phi,ii phi,jj - phi,ij^2 and laplace phi = delta
    (Bouchet et al. 1995, astro-ph/9406013). Products are not de-aliased: small for the steep spectra of cosmology.
    """
    tides = scipy.fft.rfftn(_tides(potential(modes, box_size), box_size), overwrite_x=True)
    return _gradient(potential(tides, box_size), box_size)


def _tides(phi: np.ndarray, box_size: float) -> np.ndarray:
    """sum_{i<j} phi,ii phi,jj - phi,ij^2 on the mesh."""
    trace = _second_derivative(phi, box_size, 0, 0)
    tides = np.zeros_like(trace)
    for axis in (1, 2):
        diagonal = _second_derivative(phi, box_size, axis, axis)
        tides += trace * diagonal
        trace += diagonal
    for i, j in combinations(range(3), 2):
        tides -= _second_derivative(phi, box_size, i, j) ** 2
    return tides


def potential(source: np.ndarray, box_size: float) -> np.ndarray:
    """Modes of phi [(Mpc/h)^2] with laplace phi = source."""
    kx, ky, kz = _single(wave_vectors((len(source),) * 3, box_size))
    k2 = kx**2 + ky**2 + kz**2
    k2[0, 0, 0] = 1.0
    return np.divide(source, np.negative(k2, out=k2))


def _gradient(phi: np.ndarray, box_size: float) -> np.ndarray:
    """grad phi on the mesh, `(3, N, N, N)`."""
    mesh = len(phi)
    gradient = np.empty((3, mesh, mesh, mesh), np.float32)
    for axis, k in enumerate(_single(gradient_vectors((mesh,) * 3, box_size))):
        gradient[axis] = scipy.fft.irfftn(1j * k * phi, s=(mesh,) * 3, overwrite_x=True)
    return gradient


def _second_derivative(phi: np.ndarray, box_size: float, i: int, j: int) -> np.ndarray:
    mesh = len(phi)
    k = _single(gradient_vectors((mesh,) * 3, box_size))
    return scipy.fft.irfftn(-(k[i] * k[j]) * phi, s=(mesh,) * 3, overwrite_x=True)


def _single(vectors: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(k.astype(np.float32) for k in vectors)
