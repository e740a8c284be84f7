"""Wave vectors against numpy's own frequencies and derivatives of waves."""

import numpy as np
import pytest

from m2m_core.physics.grid import frequencies, gradient_vectors, per_axis, wave_vectors


@pytest.mark.parametrize("shape", [(8, 8, 8), (6, 9, 5), (7, 4), (4, 8)])
def test_wave_vectors_are_numpys(shape):
    box_size = tuple(10.0 * (axis + 1) for axis in range(len(shape)))
    expected = [np.fft.fftfreq(n, length / n) for n, length in zip(shape[:-1], box_size, strict=False)]
    expected.append(np.fft.rfftfreq(shape[-1], box_size[-1] / shape[-1]))
    for found, k in zip(wave_vectors(shape, box_size), expected, strict=True):
        np.testing.assert_allclose(np.abs(found.ravel()), np.abs(2.0 * np.pi * k))
    assert np.broadcast_shapes(*(k.shape for k in wave_vectors(shape, box_size))) == np.fft.rfftn(np.zeros(shape)).shape
    assert all(n.dtype == np.int64 for n in frequencies(shape))


def test_gradients_leave_out_the_nyquist_frequency():
    field = np.random.default_rng(0).standard_normal((6, 7, 8))
    for axis, k in enumerate(gradient_vectors(field.shape, 5.0)):
        modes = 1j * k * np.fft.rfftn(field)
        again = np.fft.rfftn(np.fft.irfftn(modes, s=field.shape, axes=(0, 1, 2)))
        np.testing.assert_allclose(again, modes, atol=1e-9)
        assert (k == 0).sum() == (1 if field.shape[axis] % 2 else 2)


def test_the_gradient_of_a_wave():
    x = np.arange(16) * 3.0 / 16
    wave = np.sin(2 * np.pi * 2 * x / 3.0)[:, None] * np.ones(8)
    kx, _ = gradient_vectors(wave.shape, (3.0, 1.0))
    slope = np.fft.irfftn(1j * kx * np.fft.rfftn(wave), s=wave.shape, axes=(0, 1))
    np.testing.assert_allclose(slope[:, 0], 4 * np.pi / 3 * np.cos(4 * np.pi * x / 3), atol=1e-12)


def test_one_value_per_axis():
    assert per_axis(2.0, 3) == (2.0, 2.0, 2.0)
    assert per_axis([1, 2], 2) == (1, 2)
    with pytest.raises(ValueError, match="2 values for 3 axes"):
        per_axis((1, 2), 3)
