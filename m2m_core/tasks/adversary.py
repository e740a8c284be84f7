"""The discriminator of an adversarial training: what it sees of true and made fields, and what it is trained by."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import registry
from .penalties import gradient_penalty, zero_centred

__all__ = ["Adversary", "Criterion", "Scene", "Slopes", "resampled"]

REAL, FAKE, SHARE = range(3)  # purposes of the random numbers of an example
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Criterion(Protocol):
    """What is made small: values (B, 1, *m) -> (), the mean over examples and patches.

    slope, every: weight of the gradient penalty, 0 for none, and once in how many updates it is computed
    """

    slope: float
    every: int

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Of the discriminator, from its values of true and of made fields."""

    def generator(self, fake: Tensor) -> Tensor:
        """Of the generator, from the values of what it made."""


@dataclass(frozen=True)
class Slopes:
    """Strengths of R1 and R2, null for none, and once in how many updates they are computed."""

    r1: float | None
    r2: float | None
    every: int


@dataclass(frozen=True)
class Scene:
    """What stands beside the fields of a batch while they are judged.

    condition: (B, C, *n) seen beside each field, None if nothing is
    seeds: (B,) from which the random numbers of each example are made, the same in any batch and process
    noise: standard deviation of what is added to true and made fields
    """

    condition: Tensor | None
    seeds: Tensor
    noise: float

    def random(self, purpose: int, shape: torch.Size, uniform: bool = False) -> Tensor:
        """(B, *shape) numbers on the device of the seeds, normal or from 0 to 1."""
        return torch.stack([_random(seed + purpose, shape, uniform, self.seeds.device) for seed in self.seeds.tolist()])

    def noisy(self, field: Tensor, purpose: int) -> Tensor:
        """The field with instance noise (Sonderby et al. 2017, arXiv:1610.04490)."""
        return field + self.noise * self.random(purpose, field.shape[1:]) if self.noise else field

    def beside(self, field: Tensor) -> Tensor:
        """The field with its condition, as the discriminator sees it."""
        return field if self.condition is None else torch.cat([field, self.condition], 1)


class Adversary:
    """A discriminator with its criterion and the penalties on its slope."""

    def __init__(self, network: nn.Module, criterion: Mapping[str, Any], slopes: Slopes) -> None:
        self.network, self.slopes = network, slopes
        options = dict(criterion)
        self.criterion: Criterion = registry.load("criterion", options.pop("name"))(**options)

    def generator_loss(self, fake: Tensor, scene: Scene) -> Tensor:
        """What the generator is trained by; the discriminator gets no gradient of it."""
        with _frozen(self.network):
            values = self._values(scene.noisy(fake, FAKE), scene)
        with _exact(fake):
            return self.criterion.generator(values)

    def loss(self, real: Tensor, fake: Tensor, scene: Scene) -> dict[str, Tensor]:
        """What the discriminator is trained by, without penalties, and its mean values of true and made fields."""
        true, made = (self._values(field, scene) for field in self._seen(real, fake, scene))
        with _exact(real):
            critic = self.criterion.discriminator(true, made)
        return {"critic": critic, "real": true.mean(), "fake": made.mean()}

    def penalty(self, real: Tensor, fake: Tensor, scene: Scene, step: int) -> Tensor:
        """All penalties of update number `step`: those that are computed once in n updates count n times."""
        true, made = self._seen(real, fake, scene)
        known: list[tuple[float | None, int, Callable[[], Tensor]]] = [
            (self.criterion.slope, self.criterion.every, lambda: self._gradient_penalty(true, made, scene)),
            (self.slopes.r1, self.slopes.every, lambda: zero_centred(self._critic(scene), true)),
            (self.slopes.r2, self.slopes.every, lambda: zero_centred(self._critic(scene), made)),
        ]
        due = [weight * every * penalty() for weight, every, penalty in known if weight and step % every == 0]
        return sum(due, torch.zeros((), device=real.device))

    def _gradient_penalty(self, true: Tensor, made: Tensor, scene: Scene) -> Tensor:
        share = scene.random(SHARE, torch.Size(), uniform=True)
        return gradient_penalty(self._critic(scene), true, made, share)

    def _seen(self, real: Tensor, fake: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        return scene.noisy(real, REAL), scene.noisy(fake.detach(), FAKE)

    def _values(self, field: Tensor, scene: Scene) -> Tensor:
        return self.network(scene.beside(field)).float()

    def _critic(self, scene: Scene) -> Callable[[Tensor], Tensor]:
        return lambda field: self._values(field, scene)


def resampled(source: Tensor, space: torch.Size, scale: int) -> Tensor:
    """The part of an input with halo that lies under a target of edges `space`, on its `scale` times finer grid."""
    fine = functional.interpolate(source, scale_factor=scale, mode=MODES[len(space)]) if scale > 1 else source
    halos = [(have - n) // 2 for have, n in zip(fine.shape[2:], space, strict=True)]
    return fine[:, :, *(slice(halo, halo + n) for halo, n in zip(halos, space, strict=True))]


@contextlib.contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network and leave none in it."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _exact(field: Tensor) -> Any:
    return torch.autocast(field.device.type, enabled=False)


def _random(seed: int, shape: torch.Size, uniform: bool, device: torch.device) -> Tensor:
    draw = torch.rand if uniform else torch.randn
    return draw(shape, generator=torch.Generator(device).manual_seed(seed), device=device)
