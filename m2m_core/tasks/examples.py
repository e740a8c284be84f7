"""Crops of input and target as a network is shown them: read, turned, normalised, and the noise that it is told."""

import hashlib
from collections.abc import Sequence

import numpy as np

from ..crops import per_axis
from ..data.augment import Symmetry, draw, draw_change
from ..data.catalogue import Sample
from ..data.fields import Fields
from ..data.normalize import Normal, normalizer
from ..data.styles import Styles
from ..models import Geometry, Sides
from ..models.noise import normal
from .protocol import Study
from .room import Room

__all__ = ["Example", "Examples", "cell"]

Example = tuple[str, tuple[int, ...]]  # sample id, corner of the crop [voxels of the input]


class Examples:
    """Reads the examples of a study for a network of some geometry; voxels are those of the input throughout.

    normal: the normalisation of input and target; styles: what the network is told beside the field
    masked: whether there are values that are not finite; those of the input become the mean
    """

    def __init__(self, study: Study, geometry: Geometry) -> None:
        self.study, self.settings, self.geometry = study, study.experiment, geometry
        samples = study.catalogue.samples
        self.masked = any(part.nonfinite for s in samples for parts in s.fields.values() for part in parts)
        self.fields = Fields(mask=self.masked)
        self.normal = {side: self._normalizer(side) for side in ("input", "target")}
        self.styles = Styles(self.settings["styles"], study.catalogue.training(study.fold), geometry.styles)
        self.room = Room(self.settings["training"]["batch_size"])

    def _normalizer(self, side: str) -> Normal:
        channels = [part.shape[0] for part in self.study.catalogue.samples[0].parts(side)]
        return normalizer(self.settings["normalize"][side], self.study.statistics.get(side), channels, side)

    def read(self, example: Example, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        """(input with halo (C, *m), target with its own (C', *(scale n)), *told), normalised; see `count`."""
        name, start = example
        sample, crops = self.study.catalogue[name], self.study.crops
        symmetry, halo, learnt = None, crops.beyond, crops.target_halo
        if rng is not None and self.settings["training"]["augment"]:
            symmetry = self._draw(rng, sample)
            start = symmetry.moved(start, crops.region(name)[0])
            halo, learnt = symmetry.before(halo), symmetry.before(learnt)
        corner, edges = _around(start, crops.size, halo)
        source = self._block(sample, "input", corner, edges, symmetry)
        target = self._block(sample, "target", *_around(start, crops.size, learnt, crops.scale), symmetry)
        changed = self._changed(rng, sample, source, target)
        return (*changed, *self._style(sample), *self._noise(sample, corner, source.shape[1:], rng))

    def tile(
        self, sample: Sample, start: Sequence[int], size: Sequence[int], halo: Sides, seed: int, draw: int = 0
    ) -> tuple[np.ndarray, ...]:
        """(input with halo, *told) of a part of a sample, its noise that of `draw` of the whole under `seed`."""
        corner, edges = _around(start, size, halo)
        noise = self.noise(sample, corner, edges, seed, draw)
        source = self._normalised(sample, "input", self.fields.block(sample, "input", corner, edges))
        return (source, *self._style(sample), *noise)

    @property
    def count(self) -> int:
        """How many arrays are told: the styles (S,), if any, and the noise (1, *n) of each of `geometry.noise`."""
        return int(bool(self.styles)) + len(self.geometry.noise)

    def told(self, values: Sequence) -> tuple:
        """The arguments of the network behind the field, out of values that begin with what is told."""
        styles = int(bool(self.styles))
        noise = [tuple(values[styles : self.count])] if self.geometry.noise else []
        return (*values[:styles], *noise)

    # ---- noise

    def _noise(
        self, sample: Sample, corner: Sequence[int], edges: Sequence[int], rng: np.random.Generator | None
    ) -> list[np.ndarray]:
        """Drawn from `rng`, or that of the sample under the seed of the training."""
        if rng is None:
            return self.noise(sample, corner, edges, self.settings["training"]["seed"])
        shapes = [level.block(corner, edges)[1] for level in self.geometry.noise]
        return [rng.standard_normal((1, *shape), np.float32) for shape in shapes]

    def noise(
        self, sample: Sample, corner: Sequence[int], edges: Sequence[int], seed: int, draw: int = 0
    ) -> list[np.ndarray]:
        """The noise, (1, *n) for each of `geometry.noise`, of an input of `edges` at `corner`: a function of place."""
        axes, seed = list(zip(sample.shape("input")[1:], sample.around, strict=True)), _seed(seed, sample.id, draw)
        fields = []
        for number, level in enumerate(self.geometry.noise):
            whole = [level.scale * n if around else None for n, around in axes]
            fields.append(normal(seed, number, *level.block(corner, edges), whole)[None])
        return fields

    # ---- fields

    def _style(self, sample: Sample) -> tuple[np.ndarray, ...]:
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
        periodic = [around and edge == n for edge, n, around in zip(part, space, sample.around, strict=True)]
        kinds, farthest = self.settings["training"]["augment"], self._farthest(len(size))
        return draw(rng, kinds, size, part, periodic, cell(sample, "input"), farthest)

    def _farthest(self, dims: int) -> tuple[int, ...] | None:
        given = self.settings["training"]["farthest_shift"]
        return None if given is None else per_axis(given, dims, "training.farthest_shift")

    def _block(
        self, sample: Sample, side: str, corner: Sequence[int], edges: Sequence[int], symmetry: Symmetry | None
    ) -> np.ndarray:
        """A part of a field as it looks after `symmetry`, normalised, in its place in a batch."""
        if symmetry is None or symmetry.is_identity:
            place = self.room.place(side, (sample.shape(side)[0], *edges))
            return self._normalised(sample, side, self.fields.block(sample, side, corner, edges, place))
        place = self.room.place(side, (sample.shape(side)[0], *(edges[axis] for axis in symmetry.axes)))
        block = symmetry.apply(self.fields.block(sample, side, corner, edges), sample.quantities(side), place)
        return self._normalised(sample, side, block)

    def _normalised(self, sample: Sample, side: str, block: np.ndarray) -> np.ndarray:
        """In place; behind symmetries, because shifts need not be the same for all components of a vector."""
        block = self.normal[side].forward(block, sample)
        if self.masked and side == "input":
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)  # the mean, after normalisation
        return block


def cell(sample: Sample, side: str) -> tuple[float, ...]:
    """Edges of a voxel of the input or of the target [Mpc/h]."""
    return tuple(length / n for length, n in zip(sample.box_size, sample.shape(side)[1:], strict=True))


def _around(start: Sequence[int], size: Sequence[int], halo: Sides, scale: int = 1) -> tuple[list[int], list[int]]:
    """Corner and edges of a crop with its halo, on a grid `scale` times as fine."""
    corner = [scale * (a - low) for a, (low, _) in zip(start, halo, strict=True)]
    return corner, [scale * (n + low + high) for n, (low, high) in zip(size, halo, strict=True)]


def _seed(seed: int, name: str, draw: int) -> int:
    """64 bits that are another for every sample, and every draw of it."""
    text = f"{seed}\0noise\0{name}" + (f"\0{draw}" if draw else "")
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
