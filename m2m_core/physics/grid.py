"""Wave vectors of periodic boxes of any shape, 1-D to 3-D, in the layout of a real FFT (`scipy.fft.rfftn`)."""

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["frequencies", "gradient_vectors", "per_axis", "wave_vectors"]


def per_axis(value: float | Sequence[float] | np.ndarray, dims: int) -> tuple:
    """One value per axis: a scalar is repeated, a sequence must have `dims` entries (else ValueError)."""
    if not isinstance(value, Sequence | np.ndarray):
        return (value,) * dims
    if len(value) != dims:
        raise ValueError(f"{len(value)} values for {dims} axes")
    return tuple(value)


def frequencies(shape: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Whole numbers n_i with k_i = 2 pi n_i / L_i, one int64 array per axis, shaped to broadcast; half of the last."""
    *full, last = shape
    numbers = [np.rint(np.fft.fftfreq(n, 1.0 / n)).astype(np.int64) for n in full] + [np.arange(last // 2 + 1)]
    return tuple(n.reshape([-1 if axis == i else 1 for i in range(len(shape))]) for axis, n in enumerate(numbers))


def wave_vectors(shape: Sequence[int], box_size: float | Sequence[float]) -> tuple[np.ndarray, ...]:
    """k_i [h/Mpc] of a mesh of `shape` in a box [Mpc/h], one float64 array per axis, shaped to broadcast."""
    lengths = per_axis(box_size, len(shape))
    return tuple(2.0 * math.pi / length * n for n, length in zip(frequencies(shape), lengths, strict=True))


def gradient_vectors(shape: Sequence[int], box_size: float | Sequence[float]) -> tuple[np.ndarray, ...]:
    """The same for odd derivatives: 0 at the Nyquist frequency, where a real field has no i k."""
    pairs = zip(wave_vectors(shape, box_size), frequencies(shape), shape, strict=True)
    return tuple(np.where(2 * np.abs(n) == size, 0.0, k) for k, n, size in pairs)
