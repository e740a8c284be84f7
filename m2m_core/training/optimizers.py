"""Optimizers of torch that the config can name; their defaults are PyTorch's, one kernel updates all where it can.

L-BFGS is left out: it asks for the loss many times a step and needs the same one each time, not that of a new batch;
and so are those for sparse gradients and for matrices alone.
"""

import torch

from ..options import Annotated, Decay, Field, Fraction, Groups, Index, Positive, Probability
from ..registry import register
from .groups import Named, grouped

__all__ = [
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop",
    "sgd",
]  # fmt: skip


@register("optimizer", "adadelta")
def adadelta(
    parameters: Named,
    *,
    lr: Positive = 1.0,
    rho: Probability = 0.9,
    eps: Positive = 1.0e-6,
    weight_decay: Probability = 0.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adadelta: steps as long as those before, whatever the scale of the loss (Zeiler 2012, arXiv:1212.5701).

    Options:
        lr: peak learning rate
        rho: decay of the mean squares
        eps: added to both mean squares
        weight_decay: strength of the L2 penalty
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Adadelta(grouped(parameters, groups), lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)


@register("optimizer", "adafactor")
def adafactor(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    beta2_decay: Annotated[float, Field(ge=-10, le=0)] = -0.8,
    d: Annotated[float, Field(ge=1, le=1e15)] = 1.0,
    weight_decay: Probability = 0.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adafactor: keeps of mean squares the sums over rows and columns (Shazeer & Stern 2018, arXiv:1804.04235).

    Options:
        lr: peak learning rate
        beta2_decay: exponent with which the decay of mean squares approaches one
        d: largest rms of a step, in units of the learning rate
        weight_decay: decay of the weights per unit of learning rate
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Adafactor(
        grouped(parameters, groups), lr=lr, beta2_decay=beta2_decay, d=d, weight_decay=weight_decay
    )


@register("optimizer", "adagrad")
def adagrad(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    lr_decay: Probability = 0.0,
    initial: Index = 0,
    eps: Positive = 1.0e-10,
    weight_decay: Probability = 0.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adagrad: steps shrink as squares of gradients add up (Duchi et al. 2011).

    Options:
        lr: peak learning rate
        lr_decay: by which the rate falls a step
        initial: sum of squares at the beginning
        eps: added to the root of the sum
        weight_decay: strength of the L2 penalty
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Adagrad(
        grouped(parameters, groups),
        lr=lr,
        lr_decay=lr_decay,
        initial_accumulator_value=initial,
        eps=eps,
        weight_decay=weight_decay,
    )


@register("optimizer", "adam")
def adam(
    parameters: Named,
    *,
    lr: Positive = 1.0e-3,
    weight_decay: Probability = 0.0,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.0e-8,
    amsgrad: bool = False,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015).

    Options:
        lr: peak learning rate
        weight_decay: strength of the L2 penalty
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
        amsgrad: take the largest mean square so far (Reddi et al. 2018)
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Adam(
        grouped(parameters, groups),
        lr=lr,
        weight_decay=weight_decay,
        betas=(beta1, beta2),
        eps=eps,
        amsgrad=amsgrad,
        fused=True,
    )


@register("optimizer", "adamax")
def adamax(
    parameters: Named,
    *,
    lr: Positive = 2.0e-3,
    weight_decay: Probability = 0.0,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.0e-8,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adamax: Adam with the largest gradient instead of the mean square (Kingma & Ba 2015).

    Options:
        lr: peak learning rate
        weight_decay: strength of the L2 penalty
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the largest gradient
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Adamax(
        grouped(parameters, groups), lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), eps=eps
    )


@register("optimizer", "adamw")
def adamw(
    parameters: Named,
    *,
    lr: Positive = 1.0e-3,
    weight_decay: Probability = 0.01,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.0e-8,
    amsgrad: bool = False,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Options:
        lr: peak learning rate
        weight_decay: decay of the weights per unit of learning rate
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
        amsgrad: take the largest mean square so far (Reddi et al. 2018)
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.AdamW(
        grouped(parameters, groups),
        lr=lr,
        weight_decay=weight_decay,
        betas=(beta1, beta2),
        eps=eps,
        amsgrad=amsgrad,
        fused=True,
    )


@register("optimizer", "asgd")
def asgd(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    decay: Positive = 1.0e-4,
    power: Annotated[float, Field(gt=0, le=10)] = 0.75,
    weight_decay: Probability = 0.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Gradient descent whose rate falls by itself (Polyak & Juditsky 1992); its average of weights is `training.ema`.

    Options:
        lr: peak learning rate
        decay: by which the rate falls a step, in units of one over the rate
        power: power of the fall
        weight_decay: strength of the L2 penalty
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.ASGD(grouped(parameters, groups), lr=lr, lambd=decay, alpha=power, weight_decay=weight_decay)


@register("optimizer", "nadam")
def nadam(
    parameters: Named,
    *,
    lr: Positive = 2.0e-3,
    weight_decay: Probability = 0.0,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.0e-8,
    momentum_decay: Probability = 4.0e-3,
    decoupled: bool = False,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adam with Nesterov's momentum (Dozat 2016).

    Options:
        lr: peak learning rate
        weight_decay: strength of the L2 penalty
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
        momentum_decay: by which the momentum approaches its end
        decoupled: weight decay as in adamw
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.NAdam(
        grouped(parameters, groups),
        lr=lr,
        weight_decay=weight_decay,
        betas=(beta1, beta2),
        eps=eps,
        momentum_decay=momentum_decay,
        decoupled_weight_decay=decoupled,
    )


@register("optimizer", "radam")
def radam(
    parameters: Named,
    *,
    lr: Positive = 1.0e-3,
    weight_decay: Probability = 0.0,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.0e-8,
    decoupled: bool = False,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Adam that begins carefully while its mean squares are uncertain (Liu et al. 2020, arXiv:1908.03265).

    Options:
        lr: peak learning rate
        weight_decay: strength of the L2 penalty
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: added to the root of the mean square
        decoupled: weight decay as in adamw
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.RAdam(
        grouped(parameters, groups),
        lr=lr,
        weight_decay=weight_decay,
        betas=(beta1, beta2),
        eps=eps,
        decoupled_weight_decay=decoupled,
    )


@register("optimizer", "rmsprop")
def rmsprop(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    alpha: Probability = 0.99,
    eps: Positive = 1.0e-8,
    weight_decay: Probability = 0.0,
    momentum: Probability = 0.0,
    centered: bool = False,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """RMSprop: the gradient in units of its recent root mean square (Hinton 2012).

    Options:
        lr: peak learning rate
        alpha: decay of the mean square
        eps: added to the root of the mean square
        weight_decay: strength of the L2 penalty
        momentum: part of the last step that is kept
        centered: take the variance instead of the mean square
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.RMSprop(
        grouped(parameters, groups),
        lr=lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        centered=centered,
    )


@register("optimizer", "rprop")
def rprop(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    shrink: Fraction = 0.5,
    grow: Annotated[float, Field(gt=1, le=1e15)] = 1.2,
    least: Positive = 1.0e-6,
    most: Positive = 50.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Rprop: steps by the signs of gradients, for batches that hold all examples (Riedmiller & Braun 1993).

    Options:
        lr: peak learning rate
        shrink: of a step after the sign has changed
        grow: of a step after the sign has not
        least: smallest step
        most: largest step
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    return torch.optim.Rprop(grouped(parameters, groups), lr=lr, etas=(shrink, grow), step_sizes=(least, most))


@register("optimizer", "sgd")
def sgd(
    parameters: Named,
    *,
    lr: Positive = 1.0e-2,
    momentum: Probability = 0.9,
    nesterov: bool = False,
    weight_decay: Probability = 0.0,
    groups: Groups | None = None,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum.

    Options:
        lr: peak learning rate
        momentum: part of the last step that is kept
        nesterov: take the gradient after the momentum step
        weight_decay: strength of the L2 penalty
        groups: rates and decays of some parameters, the first that matches; match is looked for in names, as style|bias
    """
    nesterov = nesterov and momentum > 0  # without it there is no such step
    return torch.optim.SGD(
        grouped(parameters, groups), lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
