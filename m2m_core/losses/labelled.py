"""Losses of labels: outputs of a network (B, K) against labels (B, P), in float32 or better; means over the batch.

Labels are hard, 0 or 1 and one-hot, and are smoothed here and nowhere else: what is evaluated is what was written.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..options import Annotated, Field
from ..registry import register

__all__ = [
    "binary_cross_entropy", "categorical_cross_entropy", "gaussian_likelihood", "log_moments", "moments", "split",
]  # fmt: skip

LEAST = -20.0  # of a logarithm of a variance, in units of the labels' own: keeps the first steps finite
GREATEST = 20.0


def split(outputs: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """(means, logarithms of variances), (B, P) each, of outputs (B, 2 P); raises ValueError on another number."""
    if outputs.ndim != 2 or outputs.shape[1] != 2 * labels:
        raise ValueError(f"loss: outputs {tuple(outputs.shape)}; expected {2 * labels}, mean and variance of each")
    mean, spread = outputs.chunk(2, dim=1)
    return mean, spread.clamp(LEAST, GREATEST)


@register("label_loss", "binary_cross_entropy")
def binary_cross_entropy(
    outputs: Tensor, labels: Tensor, *, smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
) -> Tensor:
    """Binary cross-entropy of sigmoid(outputs) (B, 1), for labels 0 and 1 (torch.nn.BCEWithLogitsLoss).

    Options:
        smoothing: part of every label that is spread over both answers: 0.2 makes 0.9 of 1 and 0.1 of 0
    """
    outputs, labels = _alike(outputs, labels)
    return functional.binary_cross_entropy_with_logits(outputs, labels * (1.0 - smoothing) + 0.5 * smoothing)


@register("label_loss", "categorical_cross_entropy")
def categorical_cross_entropy(
    outputs: Tensor, labels: Tensor, *, smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
) -> Tensor:
    """Cross-entropy of softmax(outputs) (B, K), for labels that are 1 for one class (torch.nn.CrossEntropyLoss).

    Options:
        smoothing: part of every label that is spread evenly over all classes
    """
    return functional.cross_entropy(*_alike(outputs, labels), label_smoothing=smoothing)


@register("label_loss", "gaussian_likelihood")
def gaussian_likelihood(outputs: Tensor, labels: Tensor) -> Tensor:
    """-log of a normal distribution with the mean and variance of the outputs (B, 2 P), its mean over labels (B, P)."""
    mean, spread = split(outputs.to(labels.dtype), labels.shape[1])
    return 0.5 * (math.log(2.0 * math.pi) + spread + (labels - mean).square() * torch.exp(-spread)).mean()


@register("label_loss", "moments")
def moments(outputs: Tensor, labels: Tensor) -> Tensor:
    """<(y - m)^2> + <((y - m)^2 - s^2)^2>: least at mean and variance of the posterior, whatever its shape.

    The moment networks of Jeffrey & Wandelt 2020, arXiv:2011.05991, one network for both moments: the residual in the
    second is not differentiated, so that the variance follows the mean and does not lead it.
    """
    first, second = _moments(outputs, labels)
    return (first + second).mean()


@register("label_loss", "log_moments")
def log_moments(outputs: Tensor, labels: Tensor) -> Tensor:
    """log sum (y - m)^2 + log sum ((y - m)^2 - s^2)^2, sums over the batch, its mean over labels.

    As CAMELS uses it (Villaescusa-Navarro et al. 2022, arXiv:2109.10360): labels of any scale count the same. It needs
    the whole batch in one place: one process, no `accumulate`.
    """
    first, second = _moments(outputs, labels, attached=True)
    tiny = torch.finfo(first.dtype).tiny
    return (torch.log(first.sum(0) + tiny) + torch.log(second.sum(0) + tiny)).mean()


def _moments(outputs: Tensor, labels: Tensor, attached: bool = False) -> tuple[Tensor, Tensor]:
    mean, spread = split(outputs.to(labels.dtype), labels.shape[1])
    square = (labels - mean).square()
    return square, ((square if attached else square.detach()) - torch.exp(spread)).square()


def _alike(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the labels' precision; raises ValueError on different shapes, which would broadcast."""
    if outputs.shape != labels.shape:
        raise ValueError(f"loss: outputs {tuple(outputs.shape)} and labels {tuple(labels.shape)}; expected equal")
    return outputs.to(labels.dtype), labels
