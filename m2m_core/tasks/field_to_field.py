"""Regress one field on another, crop by crop (U-Net, V-Net): displacement to displacement, density to density."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import losses, models
from ..blending import Block, admit, blended, spans
from ..crops import Tile, per_axis, tiles
from ..data.catalogue import Sample
from ..data.normalize import told
from ..errors import DataError
from ..losses.frame import Frame
from ..metrics import compare
from ..metrics.draws import Field, compare_draws
from ..models import devices
from ..physics.interpolation import refined
from ..registry import register
from .examples import Example, Examples, cell
from .protocol import Descent, Prediction, Row, Split, Study
from .supervised import divided, fitted, optimizer_of

__all__ = ["FieldToField"]


@register("task", "field_to_field")
class FieldToField:
    """One network from the crop of an input field, with its halo, to the crop of the target field.

    The loss compares normalised fields; voxels whose target is not finite count as learnt. Baselines are every further
    field of the dataset and, where it is what the target is channel by channel, the input.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.settings = study, study.experiment
        self.geometry = self._geometry()
        self.examples = Examples(study, self.geometry)
        self.masked, self.fields, self.normal = self.examples.masked, self.examples.fields, self.examples.normal
        self.styles = self.examples.styles
        self.modules = {"model": self._network(study.crops.padding)}
        self.loss = losses.build(self.settings["loss"])
        self.place = self._place()
        losses.check(self.settings["loss"], self._target())
        training = self.settings["training"]
        self.descent = Descent(training["clip"], training["precision"] == "fp16")
        self.twins: dict[str, nn.Module] = {}  # networks of the same weights that pad otherwise

    def _geometry(self) -> models.Geometry:
        options = dict(self.settings["model"])
        return models.geometry_of(options.pop("name"), options)

    def _place(self) -> tuple[Any, ...]:
        """Of the `Frame` of a batch what all share: quantities, cell, around; raises DataError on different cells."""
        samples = self.study.catalogue.samples
        cells = {s.id: cell(s, "target") for s in (samples if self.loss.wants_frame else samples[:1])}
        first, edges = next(iter(cells.items()))
        if odd := [name for name, other in cells.items() if not np.allclose(other, edges, rtol=1e-5)]:
            text = f"sample {odd[0]!r} has voxels of {cells[odd[0]]} Mpc/h, {first!r} of {edges}"
            raise DataError(f"loss: {text}; expected equal ones for derivatives, spectra and densities")
        boxes = self.study.crops.whole and self.study.crops.learnt == self.study.crops.size
        around = tuple(boxes and all(axis) for axis in zip(*(s.around for s in samples), strict=True))
        return samples[0].quantities("target"), edges, around

    def _target(self) -> losses.Target:
        """What a loss may ask of the target."""
        quantities, edges, _ = self.place
        size = self.geometry.writes(self.study.crops.learnt)
        return losses.Target(*told(self.settings["normalize"]["target"]), quantities, size, edges)

    def _network(self, padding: str) -> nn.Module:
        options = dict(self.settings["model"])
        name, first = options.pop("name"), self.study.catalogue.samples[0]
        channels = first.shape("input")[0], first.shape("target")[0]
        return models.build(name, options, *channels, len(first.box_size), padding, len(self.styles))

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What updates the network."""
        return {"model": optimizer_of(self.settings["optimizer"], self.modules["model"])}

    # ---- examples

    def samples(self) -> Split:
        """Crops of the training samples, those of the validation samples, the held-out samples."""
        fit, watched = divided(self.study)
        examples, held_out = self.study.crops.among(fit), self.study.catalogue.held_out(self.study.fold)
        validate = self.study.crops.among(s.id for s in watched)
        return Split(examples, validate, held_out, next(iter(watched), None), examples.near)

    def item(self, example: Example, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        """(input with halo (C, *m), target with its own halo (C', *(scale n))), normalised, float32.

        Behind them are the styles (S,), if there are any, the noise (1, *m) of each level of a network that takes
        some, and for a loss that asks for it shift and spread of the target's channels, (C',) each.
        """
        sample, values = self.study.catalogue[example[0]], self.examples.read(example, rng)
        return *values, *(self.normal["target"].constants(sample, len(values[1])) if self.loss.wants_frame else ())

    def collate(self, items: list[tuple[np.ndarray, ...]]) -> tuple[torch.Tensor, ...]:
        """(inputs (B, C, ...), targets (B, C', ...)), and what else the items hold."""
        parts = zip(*items, strict=True)
        return tuple(torch.from_numpy(self.examples.room.joined(part)) for part in parts)

    # ---- learning

    def step(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """One step down the gradient of the loss; scalars are what `measure` tells."""
        return fitted(self, batch)

    def measure(self, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """The loss and, if it is a sum, its terms."""
        return self.compare(*self.predicted(batch))

    def predicted(self, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor, Frame | None]:
        """What the network makes of a batch, the target, both zero where that is not finite, and what they mean."""
        source, target, *values = batch
        output = self.modules["model"](source, *self.examples.told(values))
        prediction = output[:, :, *self._learnt()].float()
        constants = values[self.examples.count :]
        if self.masked:  # where the target is not finite there is nothing to learn
            finite = torch.isfinite(target)
            prediction, target = torch.where(finite, prediction, 0.0), torch.where(finite, target, 0.0)
        return prediction, target, Frame(*self.place, *constants) if constants else None

    def _learnt(self) -> tuple[slice, ...]:
        """Where the target lies in what the network makes of a crop, whose halo may be larger than needed."""
        crops, margin = self.study.crops, self.geometry.margin(self.study.crops.whole)
        before = [halo - margin - low for halo, (low, _) in zip(crops.halo, crops.target_halo, strict=True)]
        return _inside(before, crops.learnt, crops.scale)

    def centred(self, source: torch.Tensor) -> torch.Tensor:
        """An input with halo, less what lies further on one side of the target than on the other."""
        places = []
        for (low, high), (before, behind) in zip(self.study.crops.beyond, self.study.crops.target_halo, strict=True):
            surplus = (low - before) - (high - behind)
            places.append(slice(max(surplus, 0), min(surplus, 0) or None))
        return source[:, :, *places]

    def compare(self, prediction: torch.Tensor, target: torch.Tensor, frame: Frame | None) -> dict[str, torch.Tensor]:
        """The loss of a prediction and, if it is a sum, its terms."""
        with torch.autocast(prediction.device.type, enabled=False):  # whatever the precision of the network
            return self.loss(prediction, target, frame)

    # ---- judging

    @property
    def takes_noise(self) -> bool:
        """Whether several fields can be predicted of a sample."""
        return bool(self.geometry.noise)

    def predict(self, sample: Sample, draw: int = 0) -> Prediction:
        """The target field of a whole sample, tile by tile, under noise number `draw` of the sample, if there is any.

        The sample itself need not have one.
        """
        like = self.study.catalogue.samples[0]
        attributes = {"quantity": like.parts("target")[0].quantity, "box_size": list(sample.box_size)}
        shape = like.shape("target")[0], *self.geometry.writes(sample.shape("input")[1:])
        return Prediction(shape, attributes, self._tiles(sample, draw))

    def _tiles(self, sample: Sample, draw: int) -> Iterator[Block]:
        network, size, margin = self.network(sample)
        if any(overlap := self._overlap(sample, size)):
            yield from self._blended(network, sample, size, overlap, margin, draw)
            return
        for tile in tiles(sample.shape("input")[1:], size):
            block, finer = self._predict_tile(network, sample, tile, margin, draw), tile.finer(self.geometry.scale)
            yield (slice(None), *finer.put), block[:, *finer.keep]

    def _blended(
        self,
        network: nn.Module,
        sample: Sample,
        size: tuple[int, ...],
        overlap: tuple[int, ...],
        margin: int,
        draw: int,
    ) -> Iterator[Block]:
        """As `_tiles`, of tiles that overlap; those of an axis that goes on around the box as well."""
        space = sample.shape("input")[1:]
        known = zip(space, size, overlap, sample.around, strict=True)
        axes = [spans(*axis, self.geometry.scale) for axis in known]

        def predict(corner: tuple[int, ...]) -> np.ndarray:
            return self._predict_tile(network, sample, Tile(corner, size, (), ()), margin, draw)

        return blended(axes, predict)

    def network(self, sample: Sample) -> tuple[nn.Module, tuple[int, ...], int]:
        """What predicts `sample`: the network, the edges of its tiles, and the halo that a tile needs [voxels]."""
        space = sample.shape("input")[1:]
        size = self._tile_size(space)
        admit(self._overlap(sample, size), size, self.geometry)
        whole = size == space and sample.periodic
        margin = self.geometry.margin(whole)
        shown = self.study.crops.shown(self.geometry, margin)
        self.geometry.admit(self.geometry.made(size, whole, shown), "inference.tile")
        return self._with_padding(self.geometry.runs_as(whole)), size, margin

    def _tile_size(self, space: tuple[int, ...]) -> tuple[int, ...]:
        size = self.settings["inference"]["tile"] or self.study.crops.size
        size = (size,) * len(space) if isinstance(size, int) else tuple(size)
        if len(size) != len(space):
            raise DataError(f"inference.tile: {len(size)} edges for fields with {len(space)} axes")
        return tuple(min(edges) for edges in zip(size, space, strict=True))

    def _overlap(self, sample: Sample, size: tuple[int, ...]) -> tuple[int, ...]:
        """Voxels that tiles share along each axis, none where one tile is the whole."""
        wanted = per_axis(self.settings["inference"]["overlap"], len(size), "inference.overlap")
        space = sample.shape("input")[1:]
        return tuple(n if edge < length else 0 for n, edge, length in zip(wanted, size, space, strict=True))

    def _predict_tile(self, network: nn.Module, sample: Sample, tile: Tile, margin: int, draw: int) -> np.ndarray:
        halo = self.study.crops.shown(self.geometry, margin)
        arrays = self.examples.tile(sample, tile.start, tile.shape, halo, self.settings["inference"]["seed"], draw)
        device = next(network.parameters()).device
        source, *values = (torch.from_numpy(array)[None].to(device) for array in arrays)
        with torch.no_grad(), devices.arithmetic(device, self.settings["inference"]["precision"]):
            output = network(source, *self.examples.told(values))[0].float().cpu().numpy()
        inside = _inside([low - margin for low, _ in halo], tile.shape, self.geometry.scale)
        return self.normal["target"].inverse(np.ascontiguousarray(output[:, *inside]), sample)

    def _with_padding(self, padding: str) -> nn.Module:
        """The trained network, or one of the same weights that pads otherwise."""
        model = self.modules["model"]
        if padding == self.study.crops.padding:
            return model
        if padding not in self.twins:
            self.twins[padding] = self._network(padding).to(next(model.parameters()).device).eval()
        self.twins[padding].load_state_dict(model.state_dict())
        return self.twins[padding]

    def beside(self, sample: Sample) -> dict[str, np.ndarray]:
        """Input and target as they are, to be drawn beside the prediction."""
        return {side: self.fields.whole(sample, side) for side in ("input", "target")}

    def evaluate(self, prediction: np.ndarray, sample: Sample) -> list[Row]:
        """Every metric of the emulator, of the input as it is or interpolated, and of every baseline of the dataset.

        Where the truth is not finite, all are zero. Where a baseline is not, it is forgiven; the emulator never is.
        """
        truth = self.fields.whole(sample, "target")
        sources = {"emulator": prediction}
        for name in _baselines(sample):
            field = _as_fine(self.fields.whole(sample, name), sample)
            sources[name] = np.where(np.isfinite(field), field, truth) if self.masked else field
        metrics = {m["name"]: {k: v for k, v in m.items() if k != "name"} for m in self.settings["evaluation"]}
        known = sample.box_size, sample.around, sample.quantities("target"), metrics
        unknown = ~np.isfinite(truth)
        if unknown.any():
            truth, sources = np.where(unknown, 0, truth), {k: np.where(unknown, 0, v) for k, v in sources.items()}
        return [(name, *row) for name, field in sources.items() for row in compare(field, truth, *known)]

    def evaluate_draws(self, draws: Sequence[Field], sample: Sample) -> list[Row]:
        """What several predictions of a sample, (C, *space) each, are worth together; see `metrics.draws`."""
        truth = self.fields.whole(sample, "target")
        rows = compare_draws(draws, truth, sample.box_size, sample.around, sample.quantities("target"))
        return [("emulator", *row) for row in rows]


def _inside(before: Sequence[int], edges: Sequence[int], scale: int) -> tuple[slice, ...]:
    """Those voxels of a grid `scale` times as fine that lie in `edges` behind the first ones."""
    return tuple(slice(scale * a, scale * (a + n)) for a, n in zip(before, edges, strict=True))


def _baselines(sample: Sample) -> list[str]:
    """The fields that may be taken for the target, by their channels and, of the input, by its quantities."""
    channels = sample.shape("target")[0]
    others = [name for name in sample.fields if name != "target" and sample.shape(name)[0] == channels]
    return [n for n in others if n != "input" or sample.quantities(n) == sample.quantities("target")]


def _as_fine(field: np.ndarray, sample: Sample) -> np.ndarray:
    """A field on the grid of the target: itself, or one of a coarser grid, interpolated."""
    factor = sample.shape("target")[1] // field.shape[1]
    return field if factor == 1 else refined(field, factor, sample.around)
