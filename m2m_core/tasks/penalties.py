"""Penalties on the slope of a discriminator, by second derivatives, in float32 whatever the networks compute in."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["gradient_penalty", "slopes", "zero_centred"]

Critic = Callable[[Tensor], Tensor]


def zero_centred(critic: Critic, field: Tensor) -> Tensor:
    """Half of the mean squared slope: R1 at true fields, R2 at made ones (Mescheder et al. 2018, arXiv:1801.04406)."""
    return 0.5 * slopes(critic, field).square().sum(1).mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean of (|slope| - 1)^2 between true and made fields (Gulrajani et al. 2017, arXiv:1704.00028).

    share: (B,) of the true field in each mixture, from 0 to 1
    """
    share = share.to(real).reshape(-1, *[1] * (real.ndim - 1))
    return (slopes(critic, share * real + (1 - share) * fake).norm(dim=1) - 1).square().mean()


def slopes(critic: Critic, field: Tensor) -> Tensor:
    """Gradient of the value of each field, the mean over its patches, with respect to it; (B, C * voxels), float32.

    It has a gradient itself. Values must not depend on other fields of the batch: those of batch normalisation do.
    """
    with torch.autocast(field.device.type, enabled=False), torch.enable_grad():
        field = field.detach().float().requires_grad_()
        values = critic(field).flatten(1).mean(1)
        (gradient,) = torch.autograd.grad(values.sum(), field, create_graph=True)
        return gradient.flatten(1)
