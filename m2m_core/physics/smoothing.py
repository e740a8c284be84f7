"""Fields averaged over a ball or a Gaussian around every cell."""

import numpy as np
import scipy.fft
from scipy.special import j1

from .grid import wave_vectors

__all__ = ["smooth"]


def smooth(field: np.ndarray, box_size: tuple[float, ...], radius: float, shape: str = "top_hat") -> np.ndarray:
    """`field` (C, *space), periodic in a box, smoothed by a "top_hat" (ball, disc, interval) of `radius` [Mpc/h].

    With "gaussian", `radius` is the standard deviation. The kernels are exact in Fourier space, so a top-hat smaller
    than two cells rings.
    """
    space = field.shape[1:]
    k = np.sqrt(sum(wave**2 for wave in wave_vectors(space, box_size)))
    response = KERNELS[shape](k * radius, len(space)).astype(field.dtype)
    return np.stack([scipy.fft.irfftn(scipy.fft.rfftn(part) * response, s=space) for part in field])


def _gaussian(x: np.ndarray, dims: int) -> np.ndarray:
    return np.exp(-(x**2) / 2)


def _top_hat(x: np.ndarray, dims: int) -> np.ndarray:
    """3 (sin x - x cos x) / x^3 in 3-D, 2 J1(x) / x in 2-D, sin x / x in 1-D; their series where differences cancel."""
    safe = np.maximum(x, 1e-2)
    return np.where(x < 1e-2, 1 - x**2 / (2 * dims + 4), EXACT[dims](safe))


EXACT = {
    1: lambda x: np.sin(x) / x,
    2: lambda x: 2 * j1(x) / x,
    3: lambda x: 3 * (np.sin(x) - x * np.cos(x)) / x**3,
}
KERNELS = {"top_hat": _top_hat, "gaussian": _gaussian}
