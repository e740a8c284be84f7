"""Regress one field on another under the eyes of a discriminator, which learns to tell made fields from true ones."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .. import models
from ..data.catalogue import Sample
from ..errors import ConfigError
from ..losses.frame import Frame
from ..losses.spectral import spectral
from ..metrics.draws import Field
from ..options import Count, Criterion, Discriminator, Index, Optimizer, Positive, Schedule, Weight
from ..registry import register
from .adversary import Adversary, Scene, Slopes, resampled
from .field_to_field import FieldToField
from .protocol import Descents, Prediction, Row, Split, Study
from .supervised import optimizer_of

__all__ = ["Adversarial"]

Batch = tuple[Tensor, ...]
SEEDS = 2**62  # of the random numbers of an example


@register("task", "adversarial")
class Adversarial:
    """As field_to_field, with a discriminator that the network learns to deceive, beside the loss or instead of it.

    Both networks are updated from the same predictions, each by the other as it was before the update: so an update of
    several batches, or of several processes, is that of one large batch. Random numbers belong to examples.

    Options:
        discriminator: the network that judges fields; its crop is that of the target
        criterion: what it learns from, and the generator from it
        optimizer: of the discriminator
        schedule: of its learning rate; that of the experiment unless given
        clip: largest norm of its gradient; training.clip is that of the generator
        weight: of the adversarial loss of the generator
        supervised: weight of the loss of the experiment beside it
        start: epochs with the loss of the experiment alone, before the discriminator begins [epochs]
        critic_steps: updates of the discriminator for each of the generator, every one on a batch of its own
        conditional: whether it sees the input, on the grid of the target, beside each field
        r1: strength of the penalty on its slope at true fields, best without batch normalization, which mixes them
        r2: strength of the same at made ones
        penalty_every: updates between two such penalties, each of which counts so many times [steps]
        noise: standard deviation of normal numbers added to true and made fields that it sees [normalised units]
        noise_epochs: after which that noise has fallen to none, linearly; it stays unless given [epochs]
        choose: the model is the last one, or that of the lowest loss or error of log power spectra on validation crops
    """

    averaged = ("model",)

    def __init__(
        self,
        study: Study,
        *,
        discriminator: Discriminator = "patchgan",
        criterion: Criterion = "bce",
        optimizer: Optimizer = "adamw",
        schedule: Schedule | None = None,
        clip: Positive | None = None,
        weight: Weight = 1.0,
        supervised: Weight = 1.0,
        start: Index = 0,
        critic_steps: Count = 1,
        conditional: bool = False,
        r1: Positive | None = None,
        r2: Positive | None = None,
        penalty_every: Count = 16,
        noise: Positive | None = None,
        noise_epochs: Positive | None = None,
        choose: Literal["last", "loss", "spectrum"] = "last",
    ) -> None:
        self.regression = FieldToField(study)
        self.weight, self.supervised, self.start, self.critic_steps = weight, supervised, start, critic_steps
        self.conditional, self.noise, self.noise_epochs = conditional, noise or 0.0, noise_epochs
        self.choose, self.keeps_best = choose, choose != "last"
        network = self._judge(study.catalogue.samples[0], dict(discriminator))
        self.modules = {**self.regression.modules, "discriminator": network}
        self.adversary = Adversary(network, criterion, Slopes(r1, r2, penalty_every))
        self.optimizer = dict(optimizer)
        self.schedules = {} if schedule is None else {"discriminator": schedule}
        training = study.experiment["training"]
        self.descent = Descents({"model": training["clip"], "discriminator": clip}, training["precision"] == "fp16")

    def _judge(self, sample: Sample, options: dict[str, Any]) -> nn.Module:
        channels = sample.shape("target")[0] + (sample.shape("input")[0] if self.conditional else 0)
        return models.build_discriminator(options.pop("name"), options, channels, len(sample.box_size))

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What updates each network: made when they are asked for, because only training pays for their import."""
        try:
            own = optimizer_of(self.optimizer, self.modules["discriminator"])
        except ConfigError as error:
            raise ConfigError(f"task.{error}") from None
        return {**self.regression.optimizers, "discriminator": own}

    # ---- examples

    def samples(self) -> Split:
        """Those of field_to_field."""
        return self.regression.samples()

    def item(self, example: Any, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        """That of field_to_field, and a number () from which all random numbers of the example are made."""
        item = self.regression.item(example, rng)
        return *item, np.asarray(rng.integers(SEEDS) if rng is not None else 0, np.int64)

    def collate(self, items: list[tuple[np.ndarray, ...]]) -> Batch:
        """That of field_to_field, and the numbers (B,)."""
        return *self.regression.collate([item[:-1] for item in items]), torch.tensor([int(item[-1]) for item in items])

    # ---- learning

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the discriminator and, when it is due, of the generator; before the start of that alone.

        Scalars: loss, of the generator; supervised, adversarial, its two parts without weights; critic, the loss of the
        discriminator without penalties; penalty, all of them; real, fake, its mean values. What is not computed in
        each update is zero in the others and counts the more, so that means over updates are right.
        """
        *fields, seeds = batch
        since = self._since()
        generates = since < 0 or (since + 1) % self.critic_steps == 0
        with torch.set_grad_enabled(generates):
            prediction, target, frame = self.regression.predicted(tuple(fields))
            terms = self.regression.compare(prediction, target, frame)
        scene = self._scene(fields[0], target, seeds, since)
        scalars = self._generator(prediction, terms, scene, since >= 0, generates)
        return {**scalars, **self._discriminator(target, prediction, scene, since)}

    def _since(self) -> int:
        """Updates since the discriminator began, negative before."""
        clock = self.descent["model"]
        return clock.step - self.start * clock.per_epoch

    def _scene(self, source: Tensor, target: Tensor, seeds: Tensor, since: int) -> Scene:
        scale = self.regression.geometry.scale
        condition = resampled(self.regression.centred(source), target.shape[2:], scale) if self.conditional else None
        return Scene(condition, seeds, self._noise(since))

    def _noise(self, since: int) -> float:
        """Standard deviation of the instance noise: a function of the step, so that nothing is to be remembered."""
        if self.noise_epochs is None:
            return self.noise
        return self.noise * max(0.0, 1.0 - since / (self.noise_epochs * self.descent["model"].per_epoch))

    def _generator(
        self, prediction: Tensor, terms: Mapping[str, Tensor], scene: Scene, begun: bool, generates: bool
    ) -> dict[str, Tensor]:
        supervised = terms["loss"]
        with torch.set_grad_enabled(generates):
            adversarial = self.adversary.generator_loss(prediction, scene) if begun else torch.zeros_like(supervised)
            loss = self.supervised * supervised + self.weight * adversarial
        descent = self.descent["model"]
        made = descent(loss, self.optimizers["model"]) if generates else descent.rest()
        if begun and "gradient" in made:
            made["gradient"] = made["gradient"] * self.critic_steps
        values = {**terms, "loss": loss, "supervised": supervised, "adversarial": adversarial}
        return {**{name: value.detach() for name, value in values.items()}, **_of("model", made)}

    def _discriminator(self, target: Tensor, prediction: Tensor, scene: Scene, since: int) -> dict[str, Tensor]:
        descent = self.descent["discriminator"]
        names = "critic", "penalty", "real", "fake"
        if since < 0:
            made, values = descent.rest(), dict.fromkeys(names, torch.zeros_like(prediction[:0].sum()))
        else:
            values = self.adversary.loss(target, prediction.detach(), scene)
            values["penalty"] = self.adversary.penalty(target, prediction.detach(), scene, since)
            made = descent(values["critic"] + values["penalty"], self.optimizers["discriminator"])
        scalars = {name: values[name].detach() for name in names}
        return {**scalars, **_of("discriminator", made)}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """What `choose` names first: the error of log power spectra, or the loss and, if it is a sum, its terms."""
        prediction, target, frame = self.regression.predicted(batch[:-1])
        terms = self.regression.compare(prediction, target, frame)
        return {"spectrum": self._spectrum(prediction, target), **terms} if self.choose == "spectrum" else terms

    def _spectrum(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference of log power over shells of all crops, in normalised units."""
        nothing = target.new_zeros(0)
        with torch.autocast(prediction.device.type, enabled=False):
            return spectral(prediction, target, Frame(*self.regression.place, nothing, nothing))

    # ---- judging

    @property
    def takes_noise(self) -> bool:
        """Whether several fields can be made of a sample."""
        return self.regression.takes_noise

    def predict(self, sample: Sample, draw: int = 0) -> Prediction:
        """The target field of a whole sample, by the generator alone."""
        return self.regression.predict(sample, draw)

    def beside(self, sample: Sample) -> dict[str, np.ndarray]:
        """As field_to_field."""
        return self.regression.beside(sample)

    def evaluate(self, prediction: np.ndarray, sample: Sample) -> list[Row]:
        """As field_to_field."""
        return self.regression.evaluate(prediction, sample)

    def evaluate_draws(self, draws: Sequence[Field], sample: Sample) -> list[Row]:
        """As field_to_field."""
        return self.regression.evaluate_draws(draws, sample)


def _of(network: str, scalars: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The scalars of an update of one network, told apart from those of the other."""
    return {f"{name}_{network}": value for name, value in scalars.items()}
