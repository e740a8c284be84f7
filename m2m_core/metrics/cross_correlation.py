"""Cross-correlation r(k) of prediction and truth: is the structure in the right place?"""

from collections.abc import Iterator

import numpy as np

from ..registry import register
from .comparison import Comparison

__all__ = ["cross_correlation"]


@register("metric", "cross_correlation")
def cross_correlation(comparison: Comparison) -> Iterator[tuple[str, float | None, float]]:
    """r = P_cross / sqrt(P P_truth) with its sign, 1 - r^2, and the power of the error over that of the truth.

    Rows: `cross_correlation` and `stochasticity` (the share of the variance that no linear filter recovers) where both
    have power, `error_power` = 1 + T^2 - 2 r T where the truth has; x is k [h/Mpc].
    """
    found = comparison.spectra
    for k, power, truth, cross in zip(found.k, found.power_a, found.power_b, found.cross, strict=True):
        if truth > 0:
            ratio, shared = np.sqrt(power / truth), 0.0
            if power > 0:
                shared = float(np.clip(cross / np.sqrt(power) / np.sqrt(truth), -1, 1))
                yield "cross_correlation", k, shared
                yield "stochasticity", k, 1 - shared**2
            yield "error_power", k, (1 - ratio) ** 2 + 2 * ratio * (1 - shared)
