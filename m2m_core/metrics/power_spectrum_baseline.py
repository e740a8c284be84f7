"""What the power spectrum alone tells of a label: the baselines that a network has to beat."""

from collections.abc import Iterable

import numpy as np

from ..options import Count, Positive
from ..physics.spectra import power
from ..registry import register
from .linear import Linear, logistic, ridge
from .perceptron import Perceptron, classifier, regressor

__all__ = ["PowerSpectrumBaseline", "PowerSpectrumMLP"]


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
        x = features(fields, self.bins)
        if classes is None:
            self.model = ridge(x, truth, self.penalty)
        else:
            self.model = logistic(x, truth, classes, self.penalty)

    def predict(self, fields: Iterable[np.ndarray]) -> np.ndarray:
        """(n, K) scores of classes whose softmax is their probability, or (n, 2 P) means and variances."""
        return _told(self.model, features(fields, self.bins))


@register("label_baseline", "power_spectrum_mlp")
class PowerSpectrumMLP:
    """A network of one hidden layer on log P(k) of the examples that the network is given.

    Options:
        bins: logarithmic bins in k between the fundamental and the Nyquist frequency, of each channel
        examples: at most so many of the training examples, evenly chosen, are fitted
        hidden: units of the layer between
        penalty: what the sum of squared weights counts beside the mean loss
    """

    def __init__(
        self, *, bins: Count = 24, examples: Count = 20000, hidden: Count = 16, penalty: Positive = 1.0e-3
    ) -> None:
        self.bins, self.examples, self.hidden, self.penalty = bins, examples, hidden, penalty
        self.model: Perceptron | None = None

    def fit(self, fields: Iterable[np.ndarray], truth: np.ndarray, classes: int | None) -> None:
        """As of the other baseline."""
        x = features(fields, self.bins)
        if classes is None:
            self.model = regressor(x, truth, self.hidden, self.penalty)
        else:
            self.model = classifier(x, truth, classes, self.hidden, self.penalty)

    def predict(self, fields: Iterable[np.ndarray]) -> np.ndarray:
        """As of the other baseline."""
        return _told(self.model, features(fields, self.bins))


def features(fields: Iterable[np.ndarray], bins: int) -> np.ndarray:
    """log10 P(k) of each channel of fields (C, *space), in bins that hold a mode each, (n, C bins)."""
    return np.array([np.concatenate([_binned(channel, bins) for channel in field]) for field in fields])


def _told(model: Linear | Perceptron | None, x: np.ndarray) -> np.ndarray:
    assert model is not None, "fit comes first"
    found = model(x)
    return found if model.variance is None else np.hstack([found, np.broadcast_to(model.variance, found.shape)])


def _binned(channel: np.ndarray, bins: int) -> np.ndarray:
    k, modes, values = power(channel, (1.0,) * channel.ndim)
    edges = np.geomspace(k[0], k[-1] * (1 + 1e-9), bins + 1)
    place = np.searchsorted(edges, k, side="right")
    count, total = (np.bincount(place, weights, bins + 2) for weights in (modes, modes * values))
    filled = np.unique(place)
    return np.log10(np.maximum(total[filled] / count[filled], np.finfo(np.float32).tiny))
