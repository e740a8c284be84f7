"""Fields on finer grids: linear between the centres of voxels."""

from collections.abc import Sequence

import numpy as np

__all__ = ["refined"]


def refined(field: np.ndarray, factor: int, periodic: Sequence[bool]) -> np.ndarray:
    """(C, *n) -> (C, *(factor n)), linear along each axis; voxel i of the result lies at (i + 1/2) / factor - 1/2.

    A voxel is divided into `factor` along each axis, so that means over whole voxels of a periodic box stay. Beyond the
    first and last centre of an axis that is not periodic, values are those of its end.
    """
    for axis, around in enumerate(periodic, 1):
        field = _along(field, factor, axis, around)
    return field


def _along(field: np.ndarray, factor: int, axis: int, around: bool) -> np.ndarray:
    count = field.shape[axis]
    place = (np.arange(factor * count) + 0.5) / factor - 0.5
    below = np.floor(place).astype(int)
    shape = [1] * field.ndim
    shape[axis] = -1
    weight = (place - below).astype(field.dtype).reshape(shape)
    mode = "wrap" if around else "clip"
    lower, upper = (np.take(field, below + step, axis, mode=mode) for step in (0, 1))
    return lower + weight * (upper - lower)
