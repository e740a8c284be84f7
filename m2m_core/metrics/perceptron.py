"""A network of one hidden layer of standardised numbers, for classes or parameters, fitted by L-BFGS without torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from .linear import standardised

__all__ = ["Perceptron", "classifier", "regressor"]

Cost = Callable[[np.ndarray], tuple[float, np.ndarray]]
STEPS = 300  # of L-BFGS
PART = 5  # one of so many examples is left out where the variance is measured


@dataclass(frozen=True)
class Perceptron:
    """z = scale (tanh(W1 (x - shift) / spread + b1) W2 + b2) + origin for x (n, f); `variance` as of `Linear`."""

    shift: np.ndarray
    spread: np.ndarray
    layers: tuple[np.ndarray, ...]  # (f + 1, h), (h + 1, K): the last row of each is the bias
    origin: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    variance: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n, K)."""
        return self.origin + self.scale * _through((x - self.shift) / self.spread, self.layers)[1]


def classifier(x: np.ndarray, classes: np.ndarray, count: int, hidden: int, penalty: float) -> Perceptron:
    """The scores z (n, K) whose softmax is the likeliest for `classes` (n,) integers, given x (n, f).

    hidden: units of the layer between
    penalty: what the sum of squared weights counts beside the mean of -log p
    """
    truth = np.eye(count)[classes]

    def cost(z: np.ndarray) -> tuple[float, np.ndarray]:
        logs = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        return -float((logs * truth).sum()), np.exp(logs) - truth

    shift, spread, scaled = standardised(x)
    return Perceptron(shift, spread, _fitted(scaled, count, cost, hidden, penalty))


def regressor(x: np.ndarray, y: np.ndarray, hidden: int, penalty: float) -> Perceptron:
    """The means y (n, P) of x (n, f) by least squares, and the variance of what is left in examples not fitted.

    These are the last fifth, one at least; the means are those of a fit to all.
    """
    last = len(x) - max(1, len(x) // PART)
    part = _regressed(x[:last], y[:last], hidden, penalty)
    return replace(_regressed(x, y, hidden, penalty), variance=np.square(part(x[last:]) - y[last:]).mean(0))


def _regressed(x: np.ndarray, y: np.ndarray, hidden: int, penalty: float) -> Perceptron:
    shift, spread, scaled = standardised(x)
    origin, scale, truth = standardised(y)

    def cost(z: np.ndarray) -> tuple[float, np.ndarray]:
        return 0.5 * float(np.square(z - truth).sum()), z - truth

    return Perceptron(shift, spread, _fitted(scaled, y.shape[1], cost, hidden, penalty), origin, scale)


def _fitted(x: np.ndarray, outputs: int, cost: Cost, hidden: int, penalty: float) -> tuple[np.ndarray, ...]:
    """The layers for which `cost` of the outputs, a sum over examples with its slope, is least."""
    shapes = (x.shape[1] + 1, hidden), (hidden + 1, outputs)
    random = np.random.default_rng(0)
    start = [random.normal(size=shape) / np.sqrt(shape[0]) for shape in shapes]

    def whole(flat: np.ndarray) -> tuple[float, np.ndarray]:
        first, second = layers = _layers(flat, shapes)
        inner, z = _through(x, layers)
        value, slope = cost(z)
        back = slope @ second[:-1].T * (1 - inner**2)
        slopes = [_slope(x, back, first, penalty, len(x)), _slope(inner, slope, second, penalty, len(x))]
        size = sum(np.square(layer[:-1]).sum() for layer in layers)
        return value / len(x) + penalty * float(size), np.concatenate([part.ravel() for part in slopes])

    flat = np.concatenate([part.ravel() for part in start])
    return _layers(minimize(whole, flat, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x, shapes)


def _through(x: np.ndarray, layers: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the hidden layer and the outputs are."""
    first, second = layers
    inner = np.tanh(x @ first[:-1] + first[-1])
    return inner, inner @ second[:-1] + second[-1]


def _slope(x: np.ndarray, back: np.ndarray, layer: np.ndarray, penalty: float, count: int) -> np.ndarray:
    return np.vstack([x.T @ back / count + 2 * penalty * layer[:-1], back.sum(0) / count])


def _layers(flat: np.ndarray, shapes: tuple) -> tuple[np.ndarray, ...]:
    first = shapes[0][0] * shapes[0][1]
    return flat[:first].reshape(shapes[0]), flat[first:].reshape(shapes[1])
