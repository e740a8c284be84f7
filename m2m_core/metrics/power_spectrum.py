"""Power spectra and the transfer function T(k): is there as much structure as there should be, at every scale?"""

from collections.abc import Iterator

import numpy as np

from ..registry import register
from .comparison import Comparison

__all__ = ["power_spectrum"]


@register("metric", "power_spectrum")
def power_spectrum(comparison: Comparison) -> Iterator[tuple[str, float | None, float]]:
    """P(k) of prediction and truth, T = sqrt(P / P_truth), and the number of modes (k and -k) of each shell.

    Rows: `power`, `power_truth` [(Mpc/h)^d times the field's unit squared], `transfer` where the truth has power,
    `modes`; x is k [h/Mpc]. The Gaussian error of a power is P sqrt(2 / modes).
    """
    found = comparison.spectra
    for k, modes, power, truth in zip(found.k, found.modes, found.power_a, found.power_b, strict=True):
        yield "power", k, power
        yield "power_truth", k, truth
        yield "modes", k, modes
        if truth > 0:
            yield "transfer", k, np.sqrt(power / truth)
