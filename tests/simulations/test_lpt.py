"""Initial conditions against the spectrum they are drawn from and displacements known in closed form."""

import math

import numpy as np
import pytest
import scipy.fft

from m2m_core.physics.cosmology import linear_power
from m2m_core.physics.grid import frequencies, wave_vectors
from m2m_core.simulations._lpt import first_order, linear_modes, second_order

MESH, BOX = 32, 100.0


def draw(seed: int, power=linear_power, mesh: int = MESH) -> np.ndarray:
    return linear_modes(mesh, BOX, power, np.random.default_rng(seed))


def lattice(mesh: int = MESH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.meshgrid(*[np.arange(mesh) * BOX / mesh] * 3, indexing="ij")


def modes_of(field: np.ndarray) -> np.ndarray:
    return scipy.fft.rfftn(field.astype(np.float32))


def test_the_field_has_the_spectrum_asked_for():
    seeds = 8
    k2 = sum(n**2 for n in frequencies((MESH,) * 3))
    weight = np.where(np.arange(MESH // 2 + 1) % (MESH // 2) == 0, 1.0, 2.0) * np.ones(k2.shape)
    power = sum(np.abs(draw(seed)) ** 2 for seed in range(seeds)) / seeds * BOX**3 / MESH**6
    deviations = []
    for low in range(1, MESH // 2):
        shell = (k2 >= low**2) & (k2 < (low + 1) ** 2)
        expected = linear_power(2.0 * math.pi / BOX * np.sqrt(k2[shell]))
        count = weight[shell].sum() * seeds
        ratio = (weight[shell] * power[shell] / expected).sum() * seeds / count
        deviations.append((ratio - 1.0) / math.sqrt(2.0 / count))
    assert np.abs(deviations).max() < 4.0
    assert np.mean(np.square(deviations)) == pytest.approx(1.0, abs=0.9)


@pytest.mark.parametrize("mesh", [7, 8, 12])
def test_mean_and_corners_are_empty(mesh):
    modes = draw(0, lambda k: np.ones_like(k), mesh)
    n2 = sum(n**2 for n in frequencies((mesh,) * 3))
    inside = (n2 > 0) & (4 * n2 <= mesh**2)
    assert (modes[~inside] == 0.0).all()
    assert (modes[inside] != 0.0).all()
    assert modes.dtype == np.complex64


def test_the_field_is_a_function_of_the_seed():
    np.testing.assert_array_equal(draw(3), draw(3))
    assert np.abs(draw(3) - draw(4)).max() > 1.0


def test_the_divergence_of_the_first_order_is_minus_the_density():
    modes = draw(1)
    n = frequencies((MESH,) * 3)
    inside = np.broadcast_to(np.maximum(np.maximum(abs(n[0]), abs(n[1])), n[2]) < MESH // 2, modes.shape)
    pairs = zip(wave_vectors((MESH,) * 3, BOX), first_order(modes, BOX), strict=True)
    divergence = sum(1j * k * modes_of(psi) for k, psi in pairs)
    np.testing.assert_allclose(divergence[inside], -modes[inside], atol=1e-4 * np.abs(modes).max())


@pytest.mark.parametrize("mesh", [15, 16])
def test_first_order_of_a_plane_wave(mesh):
    x, y, z = lattice(mesh)
    k = 2.0 * math.pi / BOX * np.array([1.0, -2.0, 3.0])
    phase = k[0] * x + k[1] * y + k[2] * z
    psi = first_order(modes_of(0.3 * np.cos(phase)), BOX)
    expected = -0.3 * np.sin(phase) * (k / (k @ k))[:, None, None, None]
    np.testing.assert_allclose(psi, expected, atol=1e-5)


def test_a_plane_wave_has_no_second_order():
    x, y, z = lattice()
    density = np.cos(2.0 * math.pi / BOX * (2 * x + y - z))
    scale = np.abs(first_order(modes_of(density), BOX)).max()
    assert np.abs(second_order(modes_of(density), BOX)).max() < 1e-5 * scale


def test_second_order_of_crossed_waves():
    """A cos px + B cos qy has the tides A B cos px cos qy, so phi_2 is that over -(p^2 + q^2)."""
    x, y, _ = lattice()
    p, q = 2.0 * math.pi / BOX * np.array([1.0, 3.0])
    psi = second_order(modes_of(0.5 * np.cos(p * x) + 0.2 * np.cos(q * y)), BOX)
    scale = 0.1 / (p**2 + q**2)
    expected = scale * np.stack([p * np.sin(p * x) * np.cos(q * y), q * np.cos(p * x) * np.sin(q * y), 0.0 * x])
    np.testing.assert_allclose(psi, expected, atol=1e-5)
