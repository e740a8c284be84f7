"""Tell labels of a sample from its slices, or from the whole: a theory of gravity, a class, parameters."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
import torch

from .. import losses, models, registry
from ..data.catalogue import Sample
from ..data.cubes import Cubes, room
from ..data.fields import Fields
from ..data.normalize import normalizer
from ..data.slices import STREAMS, turned
from ..errors import DataError
from ..metrics.answers import Answers
from ..models import devices
from ..options import Annotated, Field, Probability
from ..registry import register
from .protocol import Descent, Prediction, Row, Split, Study
from .supervised import divided, fitted, optimizer_of

__all__ = ["FieldToLabel"]

Example = tuple[str, int, int]  # sample id, axis (-1: the whole), first voxel along it
Place = tuple[int, int]
VOXELS = 2**22  # of a batch that is predicted
SALIENCY = 3  # slices of a sample of which a picture is kept


@register("task", "field_to_label")
class FieldToLabel:
    """One network from a slice of a sample, or the whole, to its labels, which are numbers in the catalogue.

    A sample is judged by the mean answer to its slices, and so are the baselines.

    Options:
        labels: numbers of a sample that are learnt; one, but for regression
        answer: binary, 0 or 1; classes, 0 to classes - 1; or regression, numbers with their variances
        classes: how many there are, where the answer is classes
        label_noise: part of the samples that are fitted with a wrong label, always the same; all others keep theirs
    """

    def __init__(
        self,
        study: Study,
        *,
        labels: Annotated[list[str], Field(min_length=1, max_length=100)],
        answer: Literal["binary", "classes", "regression"] = "binary",
        classes: Annotated[int, Field(ge=2, le=1000)] | None = None,
        label_noise: Probability = 0.0,
    ) -> None:
        self.study, self.settings, self.noise = study, study.experiment, label_noise
        known = {s.id: _numbers(s, labels) for s in study.catalogue}
        training = study.catalogue.training(study.fold)
        self.answers = Answers.learnt_from(labels, answer, classes, np.array([known[s.id] for s in training]))
        self.truths = {name: self.answers.truth(name, values) for name, values in known.items()}
        self.answers.check([self.truths[s.id] for s in training], self.truths.values())
        first, told = study.catalogue.samples[0], self.settings["training"]
        channels = [part.shape[0] for part in first.parts("input")]
        self.normal = normalizer(self.settings["normalize"]["input"], study.statistics["input"], channels, "input")
        self.masked = any(part.nonfinite for s in study.catalogue for part in s.arrays)
        self.cubes = Cubes(
            Fields(limit=4, mask=self.masked), room(training, told["neighbourhood"], told.get("workers") or 0)
        )
        options = dict(self.settings["model"])
        shape = sum(channels) * study.crops.thickness, self.answers.outputs, study.crops.edges
        self.modules = {"model": models.build_encoder(options.pop("name"), options, *shape)}
        self.loss = losses.build(self.settings["loss"], "label_loss")
        self.descent = Descent(told["clip"], told["precision"] == "fp16")

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What updates the network."""
        return {"model": optimizer_of(self.settings["optimizer"], self.modules["model"])}

    # ---- examples

    def samples(self) -> Split:
        """Slices of the training samples, those of the validation samples, the held-out samples."""
        fit, watched = divided(self.study)
        examples, held_out = self.study.crops.among(fit), self.study.catalogue.held_out(self.study.fold)
        validate = self.study.crops.among(sample.id for sample in watched)
        return Split(examples, validate, held_out, near=examples.near, streams=STREAMS)

    def item(self, example: Example, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        """(input (channels, *edges), normalised; label (outputs,), hard), float32; without `rng` as they are."""
        name, *place = example
        sample = self.study.catalogue[name]
        target = self.answers.target(self.truths[name] if rng is None else self._noisy(sample))
        return self._input(sample, tuple(place), rng), target

    def collate(self, items: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, ...]:
        """(inputs (B, channels, *edges), labels (B, outputs))."""
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True))

    def _input(self, sample: Sample, place: Place, rng: np.random.Generator | None = None) -> np.ndarray:
        """What the network is given of a place, (channels, *edges) float32."""
        block = self.cubes.block(sample, *place, self.study.crops.thickness)
        kinds = self.settings["training"]["augment"]
        if rng is not None and kinds:
            block = turned(block, sample, place[0], rng, kinds)
        block = self.normal.forward(block, sample)
        if self.masked:  # what is not finite is the mean
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return block.reshape(-1, *block.shape[2:])

    def _noisy(self, sample: Sample) -> np.ndarray:
        """The label that a sample is fitted with: by chance, but for ever the same, a wrong one."""
        truth, count = self.truths[sample.id], self.answers.classes
        words = f"{self.settings['training']['seed']}\0label noise\0{sample.id}".encode()
        chance = int(hashlib.sha256(words).hexdigest()[:13], 16) / 16**13
        if count is None or chance >= self.noise:
            return truth
        return (truth + 1 + int(chance / self.noise * (count - 1))) % count

    # ---- learning

    def step(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """One step down the gradient of the loss; scalars are what `measure` tells."""
        return fitted(self, batch)

    def measure(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """The loss, its terms if it is a sum, and of classes the part of right answers."""
        source, target = batch
        outputs = self.modules["model"](source).float()
        with torch.autocast(outputs.device.type, enabled=False):  # whatever the precision of the network
            values = self.loss(outputs, target)
        if self.answers.classes is None:
            return values
        right = (outputs >= 0) == (target > 0.5) if target.shape[1] == 1 else outputs.argmax(1) == target.argmax(1)
        return {**values, "accuracy": right.float().mean()}

    # ---- judging

    def predict(self, sample: Sample) -> Prediction:
        """A table (columns, places): axis and start of each example of a sample, and what the network answers."""
        places = self._places(sample)
        columns = ["axis", "start", *self.answers.columns]
        attributes = {"columns": " ".join(columns), "quantity": "labels"}
        return Prediction((len(columns), len(places)), attributes, self._blocks(sample, places), self._beside(sample))

    def _places(self, sample: Sample) -> list[Place]:
        """Axis and start of each example of a sample, of the catalogue or of another one."""
        return self.study.crops.over(sample).of(sample.id)

    def _blocks(self, sample: Sample, places: Sequence[Place]) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
        most = max(1, VOXELS // prod(self.study.crops.edges))
        for begin in range(0, len(places), most):
            part = places[begin : begin + most]
            inputs = torch.from_numpy(np.stack([self._input(sample, place) for place in part]))
            table = np.hstack([np.array(part, float), self.answers.told(self._outputs(inputs))])
            yield (slice(None), slice(begin, begin + len(part))), table.T.astype("f4")

    def _outputs(self, inputs: torch.Tensor) -> np.ndarray:
        network = self.modules["model"]
        device = next(network.parameters()).device
        with torch.no_grad(), devices.arithmetic(device, self.settings["inference"]["precision"]):
            return network(inputs.to(device)).float().cpu().numpy()

    def evaluate(self, prediction: np.ndarray, sample: Sample) -> list[Row]:
        """Answers of the network and of the baselines to the examples of a sample, see `metrics.answers`."""
        truth = self.truths[sample.id]
        found = {"emulator": prediction[2:].T}
        examples = [(sample.id, *place) for place in self.study.crops.of(sample.id)]
        for name, baseline in self.baselines.items():
            found[name] = self._told(baseline.predict(self._inputs(examples)))
        return [(source, *row) for source, told in found.items() for row in self.answers.rows(told, truth)]

    def _told(self, outputs: np.ndarray) -> np.ndarray:
        """A baseline learns parameters in their own units, classes as a network does."""
        return outputs if self.answers.classes is None else self.answers.told(outputs)

    @cached_property
    def baselines(self) -> dict[str, Any]:
        """Name -> what learnt from the training samples of this fold, as the network did, of the true labels."""
        found = {}
        for chosen in self.settings["evaluation"]:
            options = dict(chosen)
            name = options.pop("name")
            found[name] = registry.load("label_baseline", name)(**options)
            examples = self._thinned(found[name].examples)
            truth = np.array([self.truths[example[0]] for example in examples])
            truth = truth if self.answers.classes is None else truth[:, 0].astype(int)
            found[name].fit(self._inputs(examples), truth, self.answers.classes)
        return found

    def _thinned(self, most: int) -> list[Example]:
        """At most so many of the training examples, evenly chosen, those of a sample together."""
        examples = self.study.crops.among(s.id for s in self.study.catalogue.training(self.study.fold))
        return [examples[int(i)] for i in np.unique(np.linspace(0, len(examples) - 1, most).astype(int))]

    def _inputs(self, examples: Iterable[Example]) -> Iterator[np.ndarray]:
        for name, *place in examples:
            yield self._input(self.study.catalogue[name], tuple(place))

    # ---- saliency

    def _beside(self, sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
        """What the network looks at in some of the held-out samples, where that is asked for."""
        count = self.settings["inference"]["saliency"]
        if sample not in self.study.catalogue.held_out(self.study.fold)[:count]:
            return
        places = self._places(sample)
        shown = [place for place in places if place[1] == places[len(places) // 2][1]][:SALIENCY] or places[:1]
        inputs, maps = zip(*(self._saliency(sample, place) for place in shown), strict=True)
        yield "places", np.array(shown, "f4")
        yield "inputs", np.stack([image[0] for image in inputs])
        yield "maps", np.stack([part.sum(0) for part in maps])
        if places[0][0] >= 0:
            yield "cube", self._summed(sample, places)

    def _saliency(self, sample: Sample, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Input of a place and |d answer / d input|, (channels, *edges) each."""
        source = self._input(sample, place)
        network = self.modules["model"]
        with torch.inference_mode(False), torch.enable_grad():
            inputs = torch.from_numpy(source.copy())[None].to(next(network.parameters()).device).requires_grad_()
            outputs = network(inputs)[0]
            answer = outputs[outputs.argmax() if (self.answers.classes or 2) > 2 else 0]
            (slope,) = torch.autograd.grad(answer, inputs)
        return source, slope[0].abs().float().cpu().numpy()

    def _summed(self, sample: Sample, places: Sequence[Place]) -> np.ndarray:
        """The saliency of all slices along all axes, added where they lie in the sample, (*space)."""
        cube = np.zeros(sample.shape("input")[1:], np.float32)
        thickness = self.study.crops.thickness
        for axis, start in places:
            slope = self._saliency(sample, (axis, start))[1]
            slab = slope.reshape(-1, thickness, *slope.shape[1:]).sum(0)
            along = np.moveaxis(cube, axis, 0)
            along[np.arange(start, start + thickness) % len(along)] += slab
        return cube


def _numbers(sample: Sample, names: Sequence[str]) -> list[float]:
    """The labels of a sample; raises DataError on one that it does not have."""
    known = {"redshift": sample.redshift, "omega_m": sample.omega_m, **sample.parameters}
    if missing := [name for name in names if name not in known]:
        expected = f"expected one of {', '.join(known)}"
        raise DataError(f"task.labels: sample {sample.id!r} has no number {missing[0]!r}; {expected}")
    return [known[name] for name in names]
