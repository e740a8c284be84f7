"""Slices of cubes that are read as wholes: each cube about once an epoch, by one process, in bounded memory."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from m2m_core.data.cubes import Cubes, room
from m2m_core.data.slices import STREAMS, Slices, index
from m2m_core.tasks.protocol import Split
from m2m_core.training.batches import FIT, VALIDATE, Batches, stream
from m2m_core.training.order import Order

N, CUBES, BATCH = 4, 160, 8
CUBE = 4 * N**3


class One(SimpleNamespace):
    """A sample of one small cube."""

    periodic, around = True, (True, True, True)

    def shape(self, field):
        return (1, N, N, N)


class Reading:
    """A task whose items are what was read for them, and what is kept [bytes]."""

    def __init__(self, samples, neighbourhood, workers):
        self.samples, self.bytes = {one.id: one for one in samples}, 0
        self.cubes = Cubes(self, room(samples, neighbourhood, workers))

    def whole(self, sample, field):
        self.bytes += CUBE
        return np.full((1, N, N, N), float(sample.id), "f4")

    def item(self, example, rng):
        id, axis, start = example
        before = self.bytes
        block = self.cubes.block(self.samples[id], axis, start, 1)
        assert (block == float(id)).all()
        return self.bytes - before, self.cubes.nbytes

    def collate(self, items):
        return items


def batches(neighbourhood, workers, epochs=1, validated=0, rank=0, size=1, accumulate=1):
    """All items of some epochs, and of a validation behind each."""
    samples = [One(id=f"{n}") for n in range(CUBES)]
    slices = Slices(index(samples, "slices"))
    fit, validate = (slices.among(one.id for one in part) for part in (samples[validated:], samples[:validated]))
    task = Reading(samples, neighbourhood, workers)
    order = Order(len(fit), BATCH * accumulate, 0, fit.near, neighbourhood, STREAMS, accumulate)
    source = Batches(task, Split(fit, validate, [], None, fit.near, STREAMS), order, rank, size, accumulate)
    keys = []
    for epoch in range(epochs):
        steps = range(epoch * order.per_epoch, (epoch + 1) * order.per_epoch)
        keys += [key for step in steps for key in source.keys(step)] + source.validations
    assert {purpose for purpose, _ in keys} <= {FIT, VALIDATE}
    return [item for batch in stream(source, keys, workers, False) for item in batch]


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("neighbourhood", [0.5, 2.0])
def test_each_cube_is_read_about_once_an_epoch_and_memory_is_bounded(workers, neighbourhood):
    items = batches(neighbourhood, workers)
    assert len(items) == CUBES * 3 * N
    assert 1.0 <= sum(read for read, _ in items) / (CUBES * CUBE) < 1.35  # streams begin and end within a cube
    most = STREAMS[0] * STREAMS[1] // max(1, workers) * math.ceil(neighbourhood) + STREAMS[1]
    assert max(kept for _, kept in items) <= most * CUBE


def test_without_streams_each_process_would_read_every_cube():
    """What it guards against: with one lane, four processes that take batches in turn."""
    samples = [One(id=f"{n}") for n in range(CUBES)]
    slices = Slices(index(samples, "slices"))
    task = Reading(samples, 0.5, 4)
    source = Batches(task, Split(slices, [], []), Order(len(slices), BATCH, 0, slices.near, 0.5, (1, 16)))
    found = stream(source, [(FIT, step) for step in range(source.order.per_epoch)], 4, False)
    assert sum(read for batch in found for read, _ in batch) / (CUBES * CUBE) > 2.0


def test_validation_reads_its_cubes_once_too():
    """The last cubes of an epoch leave memory, so in each of two epochs every cube is read about once."""
    items = batches(0.5, 4, epochs=2, validated=8)
    assert sum(read for read, _ in items) / (2 * CUBES * CUBE) < 1.35


@pytest.mark.parametrize("size", [2, 4])
def test_each_of_several_trainers_reads_its_part_of_the_cubes(size):
    shares = [sum(read for read, _ in batches(0.5, 0, rank=rank, size=size)) for rank in range(size)]
    assert sum(shares) / (CUBES * CUBE) < 1.5 and max(shares) < 1.5 * CUBES * CUBE / size


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("count, batch, streams", [(96, 8, (4, 4)), (97, 8, (4, 4)), (5, 8, (4, 4)), (50, 2, (4, 4))])
def test_every_example_is_in_one_batch_of_an_epoch(count, batch, streams, accumulate):
    order = Order(count, batch * accumulate, 0, np.arange(count) // 9, 1.0, streams, accumulate)
    for epoch in range(2):
        found = [order.members(epoch * order.per_epoch + step)[1] for step in range(order.per_epoch)]
        assert sorted(np.concatenate(found)) == list(range(count))


def test_a_batch_mixes_cubes_and_slices():
    slices = Slices(index([One(id=f"{n}") for n in range(CUBES)], "slices"))
    order = Order(len(slices), BATCH, 0, slices.near, 2.0, STREAMS)
    drawn = [[slices[i] for i in order.members(step)[1]] for step in range(order.per_epoch)]
    cubes = [len({id for id, _, _ in batch}) for batch in drawn]
    assert np.mean(cubes) > STREAMS[1] and min(cubes[:-4]) >= STREAMS[1] - 1
    assert np.mean([len({axis for _, axis, _ in batch}) for batch in drawn]) > 2


def test_all_validation_examples_are_measured_once():
    samples = [One(id=f"{n}") for n in range(3)]
    validate = Slices(index(samples, "slices"))
    for count in (1, 7, 8, 33, len(validate)):
        part = [validate[i] for i in range(count)]
        source = Batches(None, Split([], part, [], None, None, STREAMS), Order(1, BATCH, 0))
        numbers = [i for _, n in source.validations for i in source._validated(n)]
        assert sorted(numbers) == list(range(count))
