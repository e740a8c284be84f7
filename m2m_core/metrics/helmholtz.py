"""The parts of a vector field along and across k: flow into structures, and rotation."""

from collections.abc import Iterator

import numpy as np

from ..physics import spectra
from ..registry import register
from .comparison import Comparison

__all__ = ["helmholtz"]


@register("metric", "helmholtz")
def helmholtz(comparison: Comparison) -> Iterator[tuple[str, float | None, float]]:
    """Power of the parts along k (divergence) and across k (curl); nothing for fields that are no periodic vectors.

    Rows: `transfer_divergence`, `cross_correlation_divergence`, and `curl_fraction`, `curl_fraction_truth` (power
    across k over that along k), each where it is defined; x is k [h/Mpc].
    """
    if len(comparison.truth) != len(comparison.box_size) or not comparison.periodic:
        return
    along, across = spectra.helmholtz(comparison.prediction, comparison.truth, comparison.box_size)
    columns = (along.k, along.power_a, along.power_b, along.cross, across.power_a, across.power_b)
    for k, power, truth, cross, curl, curl_truth in zip(*columns, strict=True):
        if truth > 0:
            yield "transfer_divergence", k, np.sqrt(power / truth)
            yield "curl_fraction_truth", k, curl_truth / truth
        if power > 0:
            yield "curl_fraction", k, curl / power
        if truth > 0 and power > 0:
            yield "cross_correlation_divergence", k, np.clip(cross / np.sqrt(power) / np.sqrt(truth), -1, 1)
