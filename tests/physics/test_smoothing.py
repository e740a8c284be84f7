"""Smoothing against waves, whose damping is known, and against counting cells in a ball."""

import numpy as np
import pytest

from m2m_core.physics.smoothing import smooth


@pytest.mark.parametrize("shape, box_size", [((16, 12, 15), (32.0, 48, 30)), ((15, 16), (30.0, 40)), ((16,), (30.0,))])
@pytest.mark.parametrize("kind", ["top_hat", "gaussian"])
def test_a_wave_is_damped_by_the_response(shape, box_size, kind):
    known = list(zip((2, -1, 0), np.indices(shape), shape, box_size, strict=False))
    wave = np.cos(2 * np.pi * sum(number * place / n for number, place, n, _ in known))
    x = 5.0 * 2 * np.pi * np.sqrt(sum((number / length) ** 2 for number, *_, length in known))
    grid = np.arange(-1 + 5e-6, 1, 1e-5)  # a ball seen along k: slices of area (1 - s^2), a disc: chords
    profile = (1 - grid**2) ** ((len(shape) - 1) / 2)
    expected = np.exp(-(x**2) / 2) if kind == "gaussian" else (profile * np.cos(x * grid)).sum() / profile.sum()
    np.testing.assert_allclose(smooth(wave[None], box_size, 5.0, kind)[0], expected * wave, atol=1e-6)


@pytest.mark.parametrize("kind", ["top_hat", "gaussian"])
def test_the_mean_stays_and_tiny_radii_do_nothing(kind):
    field = np.random.default_rng(0).standard_normal((2, 8, 9, 10))
    assert smooth(field, (1.0,) * 3, 0.3, kind).mean((1, 2, 3)) == pytest.approx(field.mean((1, 2, 3)))
    np.testing.assert_allclose(smooth(field, (1.0,) * 3, 1e-6, kind), field, atol=1e-6)


def test_a_top_hat_is_a_ball():
    point = np.zeros((1, 32, 32, 32), np.float32)
    point[0, 16, 16, 16] = 1
    ball = smooth(point, (32.0,) * 3, 8.0)[0]
    distance = np.sqrt(((np.indices((32,) * 3) - 16) ** 2).sum(0))
    assert ball.dtype == np.float32
    assert ball[distance < 6].mean() == pytest.approx(3 / (4 * np.pi * 8**3), rel=0.02)
    assert np.abs(ball[distance > 10]).mean() < 0.02 * ball[16, 16, 16]
