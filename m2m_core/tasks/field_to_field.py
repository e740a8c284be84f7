"""Regress one field on another, crop by crop (U-Net, V-Net): displacement to displacement, density to density."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import losses, models
from ..crops import Tile, per_axis, tiles
from ..data.augment import Symmetry, draw, draw_change
from ..data.catalogue import Sample
from ..data.fields import Fields
from ..data.normalize import Normal, normalizer, told
from ..data.styles import Styles
from ..errors import ConfigError, DataError
from ..losses.frame import Frame
from ..metrics import compare
from ..models import devices
from ..registry import register
from .protocol import Descent, Prediction, Row, Split, Study
from .supervised import Supervised

__all__ = ["FieldToField"]

Example = tuple[str, tuple[int, ...]]  # sample id, corner of the crop [voxels]


@register("task", "field_to_field")
class FieldToField(Supervised):
    """One network from the crop of an input field, with its halo, to the crop of the target field.

    The loss compares normalised fields; voxels whose target is not finite count as learnt. Baselines are every further
    field of the dataset and, where it is what the target is channel by channel, the input.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.settings = study, study.experiment
        samples = study.catalogue.samples
        self.masked = any(part.nonfinite for s in samples for parts in s.fields.values() for part in parts)
        self.fields = Fields(mask=self.masked)
        self.normal = {side: self._normalizer(side) for side in ("input", "target")}
        self.styles = Styles(self.settings["styles"], study.catalogue.training(study.fold))
        self.modules = {"model": self._network(study.crops.padding)}
        self.loss = losses.build(self.settings["loss"])
        self.place = self._place()
        losses.check(self.settings["loss"], self._target())
        training = self.settings["training"]
        self.descent = Descent(training["clip"], training["precision"] == "fp16")
        self.twins: dict[str, nn.Module] = {}  # networks of the same weights that pad otherwise

    def _normalizer(self, side: str) -> Normal:
        channels = [part.shape[0] for part in self.study.catalogue.samples[0].parts(side)]
        return normalizer(self.settings["normalize"][side], self.study.statistics.get(side), channels, side)

    def _place(self) -> tuple[Any, ...]:
        """Of the `Frame` of a batch what all share: quantities, cell, periodic; raises DataError on different cells."""
        samples = self.study.catalogue.samples
        cells = {s.id: _cell(s) for s in samples} if self.loss.wants_frame else {"": _cell(samples[0])}
        first, cell = next(iter(cells.items()))
        if odd := [name for name, other in cells.items() if not np.allclose(other, cell, rtol=1e-5)]:
            text = f"sample {odd[0]!r} has voxels of {cells[odd[0]]} Mpc/h, {first!r} of {cell}"
            raise DataError(f"loss: {text}; expected equal ones for derivatives, spectra and densities")
        return samples[0].quantities("target"), cell, self.study.crops.whole and all(s.periodic for s in samples)

    def _target(self) -> losses.Target:
        """What a loss may ask of the target."""
        quantities, cell, _ = self.place
        return losses.Target(*told(self.settings["normalize"]["target"]), quantities, self.study.crops.size, cell)

    def _network(self, padding: str) -> nn.Module:
        options = dict(self.settings["model"])
        name, first = options.pop("name"), self.study.catalogue.samples[0]
        if (scale := models.geometry_of(name, options).scale) != 1:
            raise ConfigError(f"model.name: {name!r} makes fields {scale} times finer; expected one of the same grid")
        channels = first.shape("input")[0], first.shape("target")[0]
        return models.build(name, options, *channels, len(first.box_size), padding, len(self.styles))

    # ---- examples

    def samples(self) -> Split:
        """Crops of the training samples, those of the validation samples, the held-out samples."""
        fit, watched = self.divided()
        examples, held_out = self.study.crops.among(fit), self.study.catalogue.held_out(self.study.fold)
        validate = self.study.crops.among(s.id for s in watched)
        return Split(examples, validate, held_out, next(iter(watched), None), examples.near)

    def item(self, example: Example, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        """(input with halo (C, *(n + 2 halo)), target (C', *n)), normalised, float32.

        Behind them are the styles (S,), if there are any, and for a loss that asks for it shift and spread of the
        target's channels, (C',) each.
        """
        name, start = example
        sample, crops = self.study.catalogue[name], self.study.crops
        symmetry = None
        if rng is not None and self.settings["training"]["augment"]:
            symmetry = self._draw(rng, sample)
            start = symmetry.moved(start, crops.region(name)[0])
        halo = crops.halo
        source = self._block(sample, "input", start, crops.size, halo, symmetry)
        target = self._block(sample, "target", start, crops.size, (0,) * len(halo), symmetry)
        changed = self._changed(rng, sample, source, target)
        constants = self.normal["target"].constants(sample, len(target)) if self.loss.wants_frame else ()
        return (*changed, *self._style(sample), *constants)

    def _style(self, sample: Sample) -> tuple[np.ndarray, ...]:
        """What the network is told beside the field."""
        return (self.styles.of(sample),) if self.styles else ()

    def _changed(
        self, rng: np.random.Generator | None, sample: Sample, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both with the same random factors and offsets, if there are any."""
        spreads = [self.settings["training"][key] or 0.0 for key in ("augment_factor", "augment_offset")]
        if rng is None or not any(spreads):
            return source, target
        quantities = sample.quantities("input"), sample.quantities("target")
        of_input, of_target = draw_change(rng, *spreads, *quantities, len(self.study.crops.size))
        return of_input.apply(source), of_target.apply(target)

    def _draw(self, rng: np.random.Generator, sample: Sample) -> Symmetry:
        space = sample.shape("input")[1:]
        size, (_, part) = self.study.crops.size, self.study.crops.region(sample.id)
        periodic = [sample.periodic and edge == n for edge, n in zip(part, space, strict=True)]
        kinds, farthest = self.settings["training"]["augment"], self._farthest(len(size))
        return draw(rng, kinds, size, part, periodic, _cell(sample), farthest)

    def _farthest(self, dims: int) -> tuple[int, ...] | None:
        given = self.settings["training"]["farthest_shift"]
        return None if given is None else per_axis(given, dims, "training.farthest_shift")

    def _block(
        self,
        sample: Sample,
        side: str,
        start: tuple[int, ...],
        size: tuple[int, ...],
        halo: tuple[int, ...],
        symmetry: Symmetry | None,
    ) -> np.ndarray:
        corner = [a - h for a, h in zip(start, halo, strict=True)]
        block = self.fields.block(sample, side, corner, [n + 2 * h for n, h in zip(size, halo, strict=True)])
        if symmetry is not None:  # before normalisation, whose shifts need not be the same for all components
            block = symmetry.apply(block, sample.quantities(side))
        block = self.normal[side].forward(block, sample)
        if self.masked and side == "input":
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)  # the mean, after normalisation
        return block

    # ---- learning

    def measure(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """The loss and, if it is a sum, its terms."""
        told = 1 if self.styles else 0
        source, target, style, constants = *batch[:2], batch[2 : 2 + told], batch[2 + told :]
        prediction = self.modules["model"](source, *style).float()
        if self.masked:  # where the target is not finite there is nothing to learn
            finite = torch.isfinite(target)
            prediction, target = torch.where(finite, prediction, 0.0), torch.where(finite, target, 0.0)
        frame = Frame(*self.place, *constants) if constants else None
        with torch.autocast(prediction.device.type, enabled=False):  # whatever the precision of the network
            return self.loss(prediction, target, frame)

    # ---- judging

    def predict(self, sample: Sample) -> Prediction:
        """The target field of a whole sample, tile by tile."""
        target = sample.parts("target")[0]
        attributes = {"quantity": target.quantity, "box_size": list(sample.box_size)}
        return Prediction(sample.shape("target"), attributes, self._tiles(sample))

    def _tiles(self, sample: Sample) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
        network, size, halo = self.network(sample)
        for tile in tiles(sample.shape("input")[1:], size):
            block = self._predict_tile(network, sample, tile, (halo,) * len(size))
            yield (slice(None), *tile.put), block[:, *tile.keep]

    def network(self, sample: Sample) -> tuple[nn.Module, tuple[int, ...], int]:
        """What predicts `sample`: the network, the edges of its tiles, and the halo that a tile reads [voxels]."""
        space = sample.shape("input")[1:]
        size = self._tile_size(space)
        options = dict(self.settings["model"])
        geometry = models.geometry_of(options.pop("name"), options)
        geometry.admit(size, "inference.tile")
        whole = size == space and sample.periodic
        return self._with_padding(geometry.runs_as(whole)), size, geometry.margin(whole)

    def _tile_size(self, space: tuple[int, ...]) -> tuple[int, ...]:
        size = self.settings["inference"]["tile"] or self.study.crops.size
        size = (size,) * len(space) if isinstance(size, int) else tuple(size)
        if len(size) != len(space):
            raise DataError(f"inference.tile: {len(size)} edges for fields with {len(space)} axes")
        return tuple(min(edges) for edges in zip(size, space, strict=True))

    def _predict_tile(self, network: nn.Module, sample: Sample, tile: Tile, halo: tuple[int, ...]) -> np.ndarray:
        source = self._block(sample, "input", tile.start, tile.shape, halo, None)
        device = next(network.parameters()).device
        inputs = [torch.from_numpy(array)[None].to(device) for array in (source, *self._style(sample))]
        with torch.no_grad(), devices.arithmetic(device, self.settings["inference"]["precision"]):
            output = network(*inputs)[0].float().cpu().numpy()
        return self.normal["target"].inverse(output, sample)

    def _with_padding(self, padding: str) -> nn.Module:
        """The trained network, or one of the same weights that pads otherwise."""
        model = self.modules["model"]
        if padding == self.study.crops.padding:
            return model
        if padding not in self.twins:
            self.twins[padding] = self._network(padding).to(next(model.parameters()).device).eval()
        self.twins[padding].load_state_dict(model.state_dict())
        return self.twins[padding]

    def evaluate(self, prediction: np.ndarray, sample: Sample) -> list[Row]:
        """Every metric of the emulator, of the input as it is, and of every baseline of the dataset.

        Where the truth is not finite, all are zero. Where a baseline is not, it is forgiven; the emulator never is.
        """
        truth = self.fields.whole(sample, "target")
        sources = {"emulator": prediction}
        for name in _baselines(sample):
            field = self.fields.whole(sample, name)
            sources[name] = np.where(np.isfinite(field), field, truth) if self.masked else field
        metrics = {m["name"]: {k: v for k, v in m.items() if k != "name"} for m in self.settings["evaluation"]}
        known = sample.box_size, sample.periodic, sample.quantities("target"), metrics
        unknown = ~np.isfinite(truth)
        if unknown.any():
            truth, sources = np.where(unknown, 0, truth), {k: np.where(unknown, 0, v) for k, v in sources.items()}
        return [(name, *row) for name, field in sources.items() for row in compare(field, truth, *known)]


def _cell(sample: Sample) -> tuple[float, ...]:
    """Edges of a voxel [Mpc/h]."""
    return tuple(length / n for length, n in zip(sample.box_size, sample.shape("input")[1:], strict=True))


def _baselines(sample: Sample) -> list[str]:
    """The fields that may be taken for the target, by their shapes and, of the input, by its quantities."""
    others = [name for name in sample.fields if name != "target" and sample.shape(name) == sample.shape("target")]
    return [n for n in others if n != "input" or sample.quantities(n) == sample.quantities("target")]
