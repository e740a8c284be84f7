"""What the power spectrum alone tells of a label: the baseline that a network has to beat."""

from collections.abc import Iterable

import numpy as np

from ..options import Count, Positive
from ..physics.spectra import power
from ..registry import register
from .linear import Linear, logistic, ridge

__all__ = ["PowerSpectrumBaseline"]


@register("label_baseline", "power_spectrum_baseline")
class PowerSpectrumBaseline:
    """Logistic regression (ridge regression of parameters) on log P(k) of the examples that the network is given.

    Options:
        bins: logarithmic bins in k between the fundamental and the Nyquist frequency, of each channel
        examples: at most so many of the training examples, evenly chosen, are fitted
        penalty: what the sum of squared weights of the standardised log P counts beside the mean loss
    """

    def __init__(self, *, bins: Count = 24, examples: Count = 20000, penalty: Positive = 1.0e-4) -> None:
        self.bins, self.examples, self.penalty = bins, examples, penalty
        self.model: Linear | None = None

    def fit(self, fields: Iterable[np.ndarray], truth: np.ndarray, classes: int | None) -> None:
        """Learn from fields (C, *space) and, one a field, `truth`: the class (n,), or parameters (n, P)."""
        x = np.array([self.features(field) for field in fields])
        if classes is None:
            self.model = ridge(x, truth, self.penalty)
        else:
            self.model = logistic(x, truth, classes, self.penalty)

    def predict(self, fields: Iterable[np.ndarray]) -> np.ndarray:
        """(n, K) scores of classes whose softmax is their probability, or (n, 2 P) means and variances."""
        assert self.model is not None, "fit comes first"
        found = self.model(np.array([self.features(field) for field in fields]))
        if self.model.variance is None:
            return found
        return np.hstack([found, np.broadcast_to(self.model.variance, found.shape)])

    def features(self, field: np.ndarray) -> np.ndarray:
        """log10 P(k) of each channel of (C, *space), in bins that hold a mode each, (C bins,)."""
        return np.concatenate([self._binned(channel) for channel in field])

    def _binned(self, channel: np.ndarray) -> np.ndarray:
        k, modes, values = power(channel, (1.0,) * channel.ndim)
        edges = np.geomspace(k[0], k[-1] * (1 + 1e-9), self.bins + 1)
        place = np.searchsorted(edges, k, side="right")
        count, total = (np.bincount(place, weights, self.bins + 2) for weights in (modes, modes * values))
        filled = np.unique(place)
        return np.log10(np.maximum(total[filled] / count[filled], np.finfo(np.float32).tiny))
