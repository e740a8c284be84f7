"""Losses of fields that are probabilities, labels or counts, (B, C, *n) each: the target must not be normalised."""

import torch
from torch import Tensor
from torch.nn import functional

from ..options import Annotated, Field, Number, Positive
from ..registry import register
from .pairs import pair

__all__ = [
    "bce", "bce_with_logits", "cross_entropy", "hinge_embedding", "kl_div", "poisson_nll", "soft_margin",
]  # fmt: skip


@register("loss", "bce")
def bce(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of a model that returns probabilities (torch.nn.BCELoss).

    Where the prediction is outside [0, 1] the loss is not a number, on a GPU as well, where torch's would end the job.
    """
    prediction, target = pair(prediction, target)
    inside = (prediction >= 0.0) & (prediction <= 1.0)
    costs = functional.binary_cross_entropy(torch.where(inside, prediction, 0.5), target, reduction="none")
    return torch.where(inside, costs, torch.nan).mean()


@register("loss", "bce_with_logits")
def bce_with_logits(prediction: Tensor, target: Tensor, *, positive: Positive = 1.0) -> Tensor:
    """Binary cross-entropy of sigmoid(prediction), for labels 0 and 1 (torch.nn.BCEWithLogitsLoss).

    Options:
        positive: how much a voxel with label 1 counts, against one with label 0
    """
    prediction, target = pair(prediction, target)
    return functional.binary_cross_entropy_with_logits(prediction, target, pos_weight=target.new_tensor(positive))


@register("loss", "cross_entropy")
def cross_entropy(
    prediction: Tensor, target: Tensor, *, label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
) -> Tensor:
    """Cross-entropy of softmax(prediction) over the channels, one channel a class (torch.nn.CrossEntropyLoss).

    The target holds the probabilities of the classes, or 1 for the one that it is.

    Options:
        label_smoothing: part of every target that is spread evenly over all classes
    """
    return functional.cross_entropy(*pair(prediction, target), label_smoothing=label_smoothing)


@register("loss", "kl_div")
def kl_div(prediction: Tensor, target: Tensor, *, log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence t (log t - x) of log-probabilities x, its mean over voxels (torch.nn.KLDivLoss).

    Options:
        log_target: whether the target holds logarithms of probabilities
    """
    return functional.kl_div(*pair(prediction, target), reduction="none", log_target=log_target).mean()


@register("loss", "poisson_nll")
def poisson_nll(
    prediction: Tensor, target: Tensor, *, log_input: bool = True, full: bool = False, eps: Positive = 1.0e-8
) -> Tensor:
    """Negative log-likelihood of counts under a Poisson distribution (torch.nn.PoissonNLLLoss).

    Options:
        log_input: whether the prediction is the logarithm of the mean count
        full: whether Stirling's approximation of log(target!) is added
        eps: what keeps the logarithm finite where log_input is false
    """
    return functional.poisson_nll_loss(*pair(prediction, target), log_input=log_input, full=full, eps=eps)


@register("loss", "soft_margin")
def soft_margin(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of log(1 + exp(-t x)), for labels t of -1 and 1 (torch.nn.SoftMarginLoss)."""
    return functional.soft_margin_loss(*pair(prediction, target))


@register("loss", "hinge_embedding")
def hinge_embedding(prediction: Tensor, target: Tensor, *, margin: Number = 1.0) -> Tensor:
    """Mean of x where the label is 1 and of max(0, margin - x) where it is -1 (torch.nn.HingeEmbeddingLoss).

    Options:
        margin: value beyond which a voxel with label -1 costs nothing
    """
    return functional.hinge_embedding_loss(*pair(prediction, target), margin=margin)
