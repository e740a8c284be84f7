"""The particle mesh against Zel'dovich's exact wave, momentum conservation and perturbation theory."""

import math

import numpy as np
import pytest
import scipy.fft

from m2m_core.physics.cosmology import growth, linear_power, second_order_growth
from m2m_core.physics.grid import frequencies
from m2m_core.simulations._lpt import first_order, linear_modes, second_order
from m2m_core.simulations._particle_mesh import acceleration, evolve, force_kernel

MESH, BOX, MATTER = 16, 64.0, 0.3175


def initial(seed: int = 0, mesh: int = MESH, box_size: float = BOX) -> np.ndarray:
    return linear_modes(mesh, box_size, linear_power, np.random.default_rng(seed))


def rms(field: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(field, dtype=np.float64))))


def wave(mesh: int, periods: int, steepness: float) -> np.ndarray:
    """Displacements along the last axis; shells cross where `steepness` reaches 1."""
    k = 2.0 * math.pi * periods / BOX
    field = np.zeros((3, mesh, mesh, mesh), np.float32)
    field[2] = steepness / k * np.sin(k * np.arange(mesh) * BOX / mesh)
    return field


@pytest.mark.parametrize("steps", [1, 4])
def test_a_plane_wave_moves_as_zeldovich_says(steps):
    first = wave(32, 1, 0.8)
    displacement, velocity = evolve(first, BOX, 1.0, MATTER, steps)
    assert rms(displacement - first) < 0.01 * rms(first)
    assert rms(velocity - first) < 0.02 * rms(first)
    assert np.abs(displacement[:2]).max() < 1e-4 * np.abs(first).max()


@pytest.mark.parametrize(("low", "high", "tolerance"), [(1, 8, 0.005), (8, 12, 0.02)])
def test_the_force_is_the_displacement_in_linear_theory(low, high, tolerance):
    mesh = 32
    psi = 0.01 * first_order(linear_modes(mesh, 100.0, linear_power, np.random.default_rng(1)), 100.0)
    force = acceleration(psi, 100.0, force_kernel(mesh, 100.0))
    k2 = sum(n**2 for n in frequencies((mesh,) * 3))
    shell = (k2 >= low**2) & (k2 < high**2)
    a, b = (np.stack([scipy.fft.rfftn(part)[shell] for part in field]) for field in (force, psi))
    assert np.vdot(b, a).real / np.vdot(b, b).real == pytest.approx(1.0, abs=tolerance)
    assert np.linalg.norm(a - b) < 3.0 * tolerance * np.linalg.norm(b)


def test_momentum_is_conserved():
    psi = first_order(initial(), BOX)
    force = acceleration(psi, BOX, force_kernel(MESH, BOX))
    assert np.abs(force.mean(axis=(1, 2, 3), dtype=np.float64)).max() < 1e-6 * rms(force)
    displacement, velocity = evolve(psi, BOX, 1.0, MATTER, 4)
    for field in (displacement, velocity):
        assert np.abs(field.mean(axis=(1, 2, 3), dtype=np.float64)).max() < 1e-5 * rms(field)


def test_a_shifted_universe_is_the_same_universe():
    psi = first_order(initial(), BOX)
    here, there = (evolve(field, BOX, 0.5, MATTER, 2)[0] for field in (psi, np.roll(psi, (3, 5), (1, 3))))
    np.testing.assert_allclose(there, np.roll(here, (3, 5), (1, 3)), atol=1e-4)


def test_the_mirror_image_of_a_universe_evolves_as_its_mirror_image():
    psi = first_order(initial(), BOX)

    def mirrored(field: np.ndarray) -> np.ndarray:
        return field[:, ::-1, :, :] * np.float32([-1, 1, 1]).reshape(3, 1, 1, 1)

    here, there = evolve(psi, BOX, 0.5, MATTER, 2)[0], evolve(mirrored(psi), BOX, 0.5, MATTER, 2)[0]
    np.testing.assert_allclose(there, mirrored(here), atol=1e-4)


def test_one_step_is_second_order_perturbation_theory():
    mesh, box_size = 32, 256.0
    modes = initial(2, mesh, box_size)
    k2 = sum(n**2 for n in frequencies((mesh,) * 3))
    modes[k2 > 36] = 0.0  # resolved well enough that the mesh's own errors are smaller still
    linear = 0.3
    second = float(second_order_growth(linear, MATTER)[0]) * second_order(modes, box_size)
    first = first_order(modes, box_size)
    found = evolve(first, box_size, linear, MATTER, 1)[0] - linear * first
    assert rms(found - second) < 0.25 * rms(second)
    assert np.vdot(second, found) / np.vdot(second, second) == pytest.approx(1.0, abs=0.1)


def test_more_steps_converge():
    first = first_order(initial(), BOX)
    reference = evolve(first, BOX, 1.0, MATTER, 64)[0]
    errors = [rms(evolve(first, BOX, 1.0, MATTER, steps)[0] - reference) / rms(reference) for steps in (2, 4, 8, 16)]
    assert all(later < 0.75 * earlier for earlier, later in zip(errors, errors[1:], strict=False))
    assert errors[-1] < 0.02


def test_the_largest_modes_grow_linearly():
    mesh, box_size = 32, 800.0
    first = first_order(initial(4, mesh, box_size), box_size)
    k2 = sum(n**2 for n in frequencies((mesh,) * 3))
    start = np.stack([scipy.fft.rfftn(part)[(k2 > 0) & (k2 <= 4)] for part in first])
    for redshift in (0.0, 2.0):
        linear = float(growth(redshift, MATTER))
        displacement, velocity = evolve(first, box_size, linear, MATTER, 4)
        for field, expected in ((displacement, linear), (velocity, 1.0)):
            modes = np.stack([scipy.fft.rfftn(part)[(k2 > 0) & (k2 <= 4)] for part in field])
            gain = np.vdot(start, modes).real / np.vdot(start, start).real
            assert gain == pytest.approx(expected, rel=0.02)
