"""Interpolation to finer grids: lines stay lines, means stay, symmetry stays, and boxes go on where they end."""

import numpy as np
import pytest

from m2m_core.physics.interpolation import refined


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_a_ramp_stays_a_ramp_of_voxel_centres(factor):
    ramp = np.arange(6.0)[None]
    place = (np.arange(6 * factor) + 0.5) / factor - 0.5
    np.testing.assert_allclose(refined(ramp, factor, [False])[0], np.clip(place, 0, 5), atol=1e-12)


def test_a_periodic_box_goes_on_where_it_ends():
    field = np.random.default_rng(1).standard_normal((2, 5, 6))
    fine = refined(field, 3, [True, True])
    np.testing.assert_allclose(fine.mean(axis=(1, 2)), field.mean(axis=(1, 2)), atol=1e-12)
    moved = refined(np.roll(field, (2, 1), (1, 2)), 3, [True, True])
    np.testing.assert_allclose(moved, np.roll(fine, (6, 3), (1, 2)), atol=1e-12)
    np.testing.assert_allclose(refined(field[:, ::-1], 3, [True, True]), fine[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(fine[:, 1::3, 1::3], field, atol=1e-12)


def test_axes_that_end_and_axes_that_do_not():
    field = np.random.default_rng(2).standard_normal((1, 4, 4)).astype("f4")
    mixed = refined(field, 2, [True, False])
    assert mixed.dtype == np.float32 and mixed.shape == (1, 8, 8)
    np.testing.assert_allclose(mixed[0, :, 0], refined(field[:, :, 0], 2, [True])[0], rtol=1e-6)
    assert not np.allclose(mixed[0, 0, :], refined(field, 2, [False, False])[0, 0, :])
