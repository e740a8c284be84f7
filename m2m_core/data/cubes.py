"""Whole cubes in memory, as many as there is room for: compressed files give a slice for the price of a cube."""

import math
import os
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np

from ..errors import ConfigError
from .catalogue import Sample
from .fields import Fields
from .slices import STREAMS, WHOLE

__all__ = ["Cubes", "room"]

UNASKED = 4 * 2**30  # bytes of cubes that are kept in memory without a neighbourhood


class Cubes:
    """Input fields read whole by `fields` and kept, the least recently used forgotten: at most `capacity` bytes.

    One cube is kept whatever its size. Each process has its own.
    """

    def __init__(self, fields: Fields, capacity: int) -> None:
        self.fields, self.capacity = fields, capacity
        self.kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self.nbytes, self.process = 0, os.getpid()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"kept": OrderedDict(), "nbytes": 0}

    def whole(self, sample: Sample) -> np.ndarray:
        """The input (C, *space), float32, read only; nothing is read where it is kept."""
        if self.process != os.getpid():  # after a fork: what the parent keeps is not of this process
            self.kept, self.nbytes, self.process = OrderedDict(), 0, os.getpid()
        if sample.id in self.kept:
            self.kept.move_to_end(sample.id)
            return self.kept[sample.id]
        self._make_room(4 * math.prod(sample.shape("input")))
        cube = self.fields.whole(sample, "input")
        cube.flags.writeable = False
        self.kept[sample.id] = cube
        self.nbytes += cube.nbytes
        return cube

    def block(self, sample: Sample, axis: int, start: int, thickness: int) -> np.ndarray:
        """A copy of an example (C, thickness, *space), of a whole sample (C, 1, *space); slices go around the box."""
        cube = self.whole(sample)
        if axis == WHOLE:
            return cube[:, None].copy()
        length, end = cube.shape[1 + axis], start + thickness
        slices = np.moveaxis(cube, 1 + axis, 1)
        if end <= length:
            return np.array(slices[:, start:end], order="C")
        return np.ascontiguousarray(np.concatenate([slices[:, start:], slices[:, : end - length]], axis=1))

    def _make_room(self, needed: int) -> None:
        while self.kept and self.nbytes + needed > self.capacity:
            self.nbytes -= self.kept.popitem(last=False)[1].nbytes


def room(samples: Iterable[Sample], neighbourhood: float | None, workers: int = 0) -> int:
    """The capacity of the `Cubes` of each of `workers` processes that read, or of the only one [bytes].

    With a `neighbourhood`, `STREAMS` of so many samples each are read at a time, else all samples. Raises ConfigError
    if these are too many to be kept unasked.
    """
    sizes = [4 * math.prod(sample.shape("input")) for sample in samples]
    if neighbourhood is None:
        if sum(sizes) > UNASKED:
            text = f"none, but the samples are {sum(sizes) / 1e9:.1f} GB; expected a number, such as 1.0, of those"
            raise ConfigError(f"training.neighbourhood: {text} to mix in each of {math.prod(STREAMS)} streams")
        return sum(sizes)
    lanes, width = STREAMS
    streams = lanes * width // max(1, min(workers, lanes))
    return min(sum(sizes), max(sizes) * (streams * math.ceil(neighbourhood) + width))
