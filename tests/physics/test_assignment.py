"""Painting and reading: mass, symmetry, known windows, and each as the transpose of the other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from m2m_core.errors import DataError
from m2m_core.physics import assignment
from m2m_core.physics.assignment import density, paint, read, window

ORDERS = [1, 2, 3, 4]
GRIDS = [
    ((8, 8, 8), (80.0, 80.0, 80.0), None),
    ((6, 8, 4), (30.0, 50.0, 20.0), (12, 5, 8)),
    ((7, 9), (10.0, 30.0), None),
    ((16, 4), (10.0, 30.0), (3, 11)),
]
orders = st.sampled_from(ORDERS)
grids = st.sampled_from(GRIDS)
seeds = st.integers(0, 2**16)


def scattered(shape: tuple[int, ...], box_size: tuple[float, ...], seed: int = 0, dtype: type = float) -> np.ndarray:
    """Displacements of about a third of the box."""
    noise = np.random.default_rng(seed).standard_normal((len(shape), *shape))
    return (noise * np.reshape(box_size, (-1, *[1] * len(shape))) / 3.0).astype(dtype)


def direct(displacement: np.ndarray, box_size: tuple[float, ...], mesh: tuple[int, ...], order: int) -> np.ndarray:
    """One particle at a time, one mesh point at a time, with scipy's B-splines."""
    spline = BSpline.basis_element(np.arange(order + 1) - order / 2.0, extrapolate=False)
    mass = np.zeros(mesh)
    for site in np.ndindex(displacement.shape[1:]):
        share = np.ones(())
        for axis, (cells, length) in enumerate(zip(mesh, box_size, strict=True)):
            position = site[axis] * cells / displacement.shape[axis + 1] + 0.5
            position += displacement[(axis, *site)] * cells / length
            distance = position - np.arange(cells) + np.arange(-6, 7)[:, None] * cells  # with all periodic images
            share = np.multiply.outer(share, np.nan_to_num(spline(distance)).sum(axis=0))
        mass += share
    return mass


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("shape", "box_size", "mesh"), GRIDS)
def test_paint_is_a_sum_of_splines(shape, box_size, mesh, order):
    moved = scattered(shape, box_size)
    expected = direct(moved, box_size, mesh or shape, order)
    np.testing.assert_allclose(paint(moved, box_size, mesh, order), expected, atol=1e-12)


@settings(max_examples=40)
@given(grids, orders, seeds, st.floats(-3.0, 3.0))
def test_mass_is_conserved(grid, order, seed, shift):
    shape, box_size, mesh = grid
    moved = scattered(shape, box_size, seed)
    mass = paint(moved, box_size, mesh, order, shift)
    assert mass.dtype == np.float64
    assert mass.shape == (mesh or shape)
    assert mass.sum() == pytest.approx(math.prod(shape), rel=1e-12)
    assert mass.min() >= -1e-12
    assert density(moved, box_size, mesh, order, shift).mean() == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=40)
@given(grids, orders, seeds, st.floats(-3.0, 3.0))
def test_read_is_the_transpose_of_paint(grid, order, seed, shift):
    shape, box_size, mesh = grid
    moved = scattered(shape, box_size, seed)
    field = np.random.default_rng(seed + 1).standard_normal((2, *(mesh or shape)))
    values = read(field, moved, box_size, order, shift)
    assert values.shape == (2, *shape)
    expected = (field * paint(moved, box_size, mesh, order, shift)).reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(values.reshape(2, -1).sum(axis=1), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=30)
@given(grids, orders, st.integers(-9, 9), st.integers(0, 2))
def test_moving_all_by_whole_cells_rolls_the_density(grid, order, cells, axis):
    shape, box_size, mesh = grid
    mesh, axis = mesh or shape, axis % len(shape)
    moved = scattered(shape, box_size)
    further = moved.copy()
    further[axis] += cells * box_size[axis] / mesh[axis]
    before, after = (density(d, box_size, mesh, order) for d in (moved, further))
    np.testing.assert_allclose(after, np.roll(before, cells, axis), atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_shift_is_a_displacement_in_cells(order):
    shape, box_size, mesh = (6, 8, 4), (30.0, 50.0, 20.0), (12, 5, 8)
    moved = scattered(shape, box_size)
    step = 0.3 * np.array(box_size) / mesh
    expected = density(moved + step[:, None, None, None], box_size, mesh, order)
    np.testing.assert_allclose(density(moved, box_size, mesh, order, shift=0.3), expected, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mesh", [4, 8, 16])
def test_particles_at_rest_are_uniform(order, mesh):
    at_rest = np.zeros((3, 8, 8, 8), np.float32)
    if mesh > 8 and order == 1:  # half of the mesh points have no particle next to them
        assert density(at_rest, 80.0, mesh, order).max() == 7.0
    else:
        assert np.abs(density(at_rest, 80.0, mesh, order)).max() < 1e-6


@pytest.mark.parametrize("order", [2, 3, 4])
def test_half_a_cell_aligns_the_density_with_the_lattice(order):
    moved = scattered((8, 8, 8), (80.0,) * 3)
    mirrored = moved[:, ::-1].copy()
    mirrored[0] *= -1.0
    before, after = (density(d, 80.0, order=order, shift=-0.5) for d in (moved, mirrored))
    np.testing.assert_allclose(after, before[::-1], atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_window_is_the_transform_of_the_assignment(order):
    """The mean over sub-cell positions of the Fourier modes of one particle is the window alone: aliases cancel."""
    n, length = 8, 40.0
    modes = np.zeros(n // 2 + 1, complex)
    for offset in (np.arange(64) + 0.5) / 64:
        mass = paint(np.zeros((1, 1)), length, n, order, shift=offset)
        phase = np.exp(2j * math.pi * np.arange(n // 2 + 1) * (0.5 + offset) / n)
        modes += np.fft.rfft(mass) * phase / 64
    k = 2.0 * math.pi / length * np.arange(n // 2 + 1)
    np.testing.assert_allclose(modes, window(k, length / n, order), atol=2e-3)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_reading_is_exact_for_constants_and_slopes(order):
    moved = scattered((8, 8), (8.0, 8.0), dtype=np.float32)
    ones = read(np.ones((1, 8, 8), np.float32), moved, 8.0, order)
    assert ones.dtype == np.float32
    np.testing.assert_allclose(ones, 1.0, rtol=1e-6)
    ramp = np.broadcast_to(np.arange(16.0), (1, 16, 16))
    inside = read(ramp, np.zeros((2, 8, 8)), 16.0, order)[0, :, 2:6]
    np.testing.assert_allclose(inside, np.broadcast_to(2.0 * np.arange(2, 6) + 0.5, (8, 4)))


def test_slabs_change_nothing(monkeypatch):
    moved = scattered((9, 6, 5), (9.0, 6.0, 5.0), dtype=np.float32)
    field = np.random.default_rng(5).standard_normal((2, 9, 6, 5)).astype(np.float32)
    whole = paint(moved, (9.0, 6.0, 5.0), order=3), read(field, moved, (9.0, 6.0, 5.0), order=3)
    monkeypatch.setattr(assignment, "SLAB", 60)
    np.testing.assert_allclose(paint(moved, (9.0, 6.0, 5.0), order=3), whole[0], atol=1e-12)
    np.testing.assert_array_equal(read(field, moved, (9.0, 6.0, 5.0), order=3), whole[1])


@pytest.mark.parametrize("order", ORDERS)
def test_single_precision_is_enough(order):
    moved = scattered((8, 8, 8), (1000.0,) * 3, dtype=np.float32)
    exact = density(moved.astype(np.float64), 1000.0, 8, order)
    agree = np.isclose(density(moved, 1000.0, 8, order), exact, atol=1e-5)
    assert agree.mean() > (0.98 if order == 1 else 0.999)  # a nearest point may be a near tie


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cells", [1, 7, 36, 512])
def test_far_particles_come_back_into_the_box(dtype, cells):
    sizes = 10.0 ** np.random.default_rng(0).uniform(0, 30, 2000)
    index = np.round(np.concatenate([sizes, -sizes])).astype(dtype)
    expected = [int(value) % cells for value in index]
    near = np.abs(index) < 2**22
    for some in (near, ~near):
        np.testing.assert_array_equal(assignment._wrapped(index[some], cells), np.array(expected)[some])
    moved = index[: 2 * 1000].reshape(2, 25, 40)
    assert paint(moved, 10.0, cells).sum() == pytest.approx(1000.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    moved = np.zeros((2, 4, 4))
    moved[1, 2, 3] = bad
    with pytest.raises(DataError, match="finite"), np.errstate(invalid="ignore"):
        density(moved, 10.0)


def test_unknown_orders_are_refused():
    with pytest.raises(ValueError, match="order 5"):
        paint(np.zeros((2, 4, 4)), 10.0, order=5)
