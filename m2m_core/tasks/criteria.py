"""What a discriminator learns from, and a generator from it: of its values of true and made fields."""

import torch
from torch import Tensor
from torch.nn import functional

from ..options import Count, Positive, Probability
from ..registry import register

__all__ = ["CrossEntropy", "Hinge", "LeastSquares", "Wasserstein"]


@register("criterion", "bce")
class CrossEntropy:
    """Binary cross entropy of logits, not saturating for the generator (Goodfellow et al. 2014, arXiv:1406.2661).

    Options:
        label_smoothing: subtracted from the label 1 of true fields, for the discriminator alone
    """

    slope, every = 0.0, 1

    def __init__(self, *, label_smoothing: Probability = 0.0) -> None:
        self.real = 1.0 - label_smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-y log D(x) - (1 - y) log(1 - D(x)) - log(1 - D(G)), y the smoothed label."""
        return _entropy(real, self.real) + _entropy(fake, 0.0)

    def generator(self, fake: Tensor) -> Tensor:
        """-log D(G)."""
        return _entropy(fake, 1.0)


@register("criterion", "hinge")
class Hinge:
    """Hinge: true fields above 1, made ones below -1 (Lim & Ye 2017, arXiv:1705.02894)."""

    slope, every = 0.0, 1

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - D(x)) + max(0, 1 + D(G))."""
        return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """-D(G)."""
        return -fake.mean()


@register("criterion", "least_squares")
class LeastSquares:
    """Half of the squared distance to the labels 1 and 0 (Mao et al. 2017, arXiv:1611.04076)."""

    slope, every = 0.0, 1

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """(D(x) - 1)^2 / 2 + D(G)^2 / 2."""
        return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())

    def generator(self, fake: Tensor) -> Tensor:
        """(D(G) - 1)^2 / 2."""
        return 0.5 * (fake - 1.0).square().mean()


@register("criterion", "wasserstein")
class Wasserstein:
    """Difference of means of a critic whose slope is kept at 1 (Gulrajani et al. 2017, arXiv:1704.00028).

    Options:
        gradient_penalty: weight of (slope - 1)^2, of a discriminator without batch normalization; null is none
        every: updates between two gradient penalties, each of which counts so many times [steps]
    """

    def __init__(self, *, gradient_penalty: Positive | None = 10.0, every: Count = 1) -> None:
        self.slope, self.every = gradient_penalty or 0.0, every

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """D(G) - D(x)."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor) -> Tensor:
        """-D(G)."""
        return -fake.mean()


def _entropy(logits: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
