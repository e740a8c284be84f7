"""Optimizers that the config can name; their defaults are PyTorch's, but one kernel updates all parameters (fused)."""

from collections.abc import Iterable

import torch

from ..options import Positive, Probability
from ..registry import register

__all__ = ["adam", "adamw", "sgd"]

Parameters = Iterable[torch.nn.Parameter]


@register("optimizer", "adamw")
def adamw(
    parameters: Parameters,
    *,
    lr: Positive = 1.0e-3,
    weight_decay: Probability = 0.01,
    beta1: Probability = 0.9,
    beta2: Probability = 0.999,
    eps: Positive = 1.0e-8,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Options:
        lr: peak learning rate
        weight_decay: decay of the weights per unit of learning rate
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
    """
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), eps=eps, fused=True)


@register("optimizer", "adam")
def adam(
    parameters: Parameters,
    *,
    lr: Positive = 1.0e-3,
    weight_decay: Probability = 0.0,
    beta1: Probability = 0.9,
    beta2: Probability = 0.999,
    eps: Positive = 1.0e-8,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015).

    Options:
        lr: peak learning rate
        weight_decay: strength of the L2 penalty
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
    """
    return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), eps=eps, fused=True)


@register("optimizer", "sgd")
def sgd(
    parameters: Parameters,
    *,
    lr: Positive = 1.0e-2,
    momentum: Probability = 0.9,
    nesterov: bool = False,
    weight_decay: Probability = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum.

    Options:
        lr: peak learning rate
        momentum: part of the last step that is kept
        nesterov: take the gradient after the momentum step
        weight_decay: strength of the L2 penalty
    """
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
