"""Linear models of standardised numbers: logistic regression for classes, ridge regression for parameters."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

__all__ = ["Linear", "logistic", "ridge", "standardised"]

LEAST = 1e-9  # part of an example that its own answer does not decide


@dataclass(frozen=True)
class Linear:
    """z = W (x - shift) / spread + b for x (n, f); `variance` (P,) is that of what a regression leaves."""

    shift: np.ndarray
    spread: np.ndarray
    weights: np.ndarray  # (f, K)
    bias: np.ndarray  # (K,)
    variance: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n, K)."""
        return (x - self.shift) / self.spread @ self.weights + self.bias


def logistic(x: np.ndarray, classes: np.ndarray, count: int, penalty: float) -> Linear:
    """The scores z (n, K) whose softmax is the likeliest for `classes` (n,) integers, given x (n, f).

    penalty: what the sum of squared weights counts beside the mean of -log p
    """
    shift, spread, scaled = standardised(x)
    truth = np.eye(count)[classes]

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-count].reshape(-1, count), flat[-count:]
        logs = scaled @ weights + bias
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
        error = (np.exp(logs) - truth) / len(x)
        slope = np.concatenate([(scaled.T @ error + 2 * penalty * weights).ravel(), error.sum(0)])
        return float(-(logs * truth).sum() / len(x) + penalty * np.square(weights).sum()), slope

    found = minimize(cost, np.zeros((scaled.shape[1] + 1) * count), jac=True, method="L-BFGS-B").x
    return Linear(shift, spread, found[:-count].reshape(-1, count), found[-count:])


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> Linear:
    """The means y (n, P) of x (n, f) by least squares, and the variance of what is left, each example left out once.

    penalty: what the sum of squared weights counts beside the mean squared error
    """
    shift, spread, scaled = standardised(x)
    bias = y.mean(0)
    square = scaled.T @ scaled + penalty * len(x) * np.eye(scaled.shape[1])
    weights = np.linalg.solve(square, scaled.T @ (y - bias))
    leverage = np.einsum("nf,fn->n", scaled, np.linalg.solve(square, scaled.T)) + 1 / len(x)
    left = (y - bias - scaled @ weights) / np.maximum(1 - leverage, LEAST)[:, None]
    return Linear(shift, spread, weights, bias, np.square(left).mean(0))


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means, deviations or 1, x by them) of x (n, f)."""
    shift, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    return shift, spread, (x - shift) / spread
