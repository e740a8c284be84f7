"""Mean square error, cell by cell."""

from collections.abc import Iterator

import numpy as np

from ..registry import register
from .comparison import Comparison

__all__ = ["mean_square_error"]


@register("metric", "mean_square_error")
def mean_square_error(comparison: Comparison) -> Iterator[tuple[str, float | None, float]]:
    """Mean square error over all cells and channels, its root, and the root over the truth's standard deviation.

    Rows: `mse`, `rmse` [the field's unit], and `vrmse` = sqrt(<|u - v|^2> / <|v - <v>|^2>) where the truth varies:
    0 is perfect, 1 is as good as the mean (The Well, arXiv:2412.00568); no x.
    """
    pairs = zip(comparison.prediction, comparison.truth, strict=True)
    error = np.mean([np.mean(np.square(np.subtract(a, b, dtype=np.float64))) for a, b in pairs])
    variance = np.mean([np.var(channel, dtype=np.float64) for channel in comparison.truth])
    yield "mse", None, error
    yield "rmse", None, np.sqrt(error)
    if variance > 0:
        yield "vrmse", None, np.sqrt(error / variance)
