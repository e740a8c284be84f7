"""Which examples make which batch: each once an epoch; and with a neighbourhood each file is read once an epoch."""

import os
import pickle

import numpy as np
import pytest

from m2m_core.crops import Crops, index
from m2m_core.data.fields import Fields
from m2m_core.models import geometry_of
from m2m_core.tasks.protocol import Split
from m2m_core.training.batches import FIT, Batches, stream
from m2m_core.training.order import Order
from tests.tasks.studies import fields

NEAR = np.repeat(np.arange(12), 8)


def epoch_of(order, epoch=0):
    """The batches of an epoch."""
    return [order.members(epoch * order.per_epoch + batch)[1] for batch in range(order.per_epoch)]


@pytest.mark.parametrize("neighbourhood", [None, 0.5, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("count, batch_size", [(7, 3), (6, 2), (1, 4), (5, 5), (96, 4), (95, 8)])
def test_every_example_is_in_one_batch_of_an_epoch(count, batch_size, neighbourhood):
    order = Order(count, batch_size, 1, NEAR[:count], neighbourhood)
    for epoch in range(3):
        batches = epoch_of(order, epoch)
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        assert sorted(np.concatenate(batches)) == list(range(count))


@pytest.mark.parametrize("neighbourhood", [None, 2.0])
def test_the_order_is_a_function_of_seed_and_epoch(neighbourhood):
    def first(seed, epoch):
        return np.concatenate(epoch_of(Order(96, 4, seed, NEAR, neighbourhood), epoch)).tolist()

    assert first(0, 0) == first(0, 0)
    assert len({tuple(first(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4
    copy = pickle.loads(pickle.dumps(Order(96, 4, 0, NEAR, neighbourhood)))  # as a process that reads gets it
    assert np.concatenate(epoch_of(copy)).tolist() == first(0, 0)


@pytest.mark.parametrize("distance", [1.0, 2.0])
def test_a_stream_mixes_so_many_samples_and_goes_on(distance):
    order = Order(96, 2, 0, NEAR, distance)
    for examples in np.array(epoch_of(order)).T:
        samples = NEAR[examples]
        visits = [np.flatnonzero(samples == sample) for sample in np.unique(samples)]
        assert all(np.ptp(visit) < 8 * (distance + 1) for visit in visits)
        assert distance == 1.0 or any(np.ptp(visit) >= 8 for visit in visits), "nothing was mixed"


def test_each_process_reads_its_part_of_the_samples():
    """And the batches are the same for any number of processes."""
    batches = epoch_of(Order(96, 4, 0, NEAR, 1.0))
    for size in (1, 2, 4):
        parts = [{NEAR[i] for batch in batches for i in batch[rank::size]} for rank in range(size)]
        assert sum(map(len, parts)) <= 12 + 4  # a sample at the border of two streams is in both
        assert np.concatenate([np.stack(batches)[:, rank::size] for rank in range(size)], 1).size == 96


# ---- bytes


class Reading:
    """A task that reads crops and notes what the process got from the disk."""

    def __init__(self, catalogue, crops, limit):
        self.catalogue, self.crops = catalogue, crops
        self.fields = Fields(limit)

    def item(self, example, rng):
        before = from_disk()
        name, start = example
        values = self.fields.block(self.catalogue[name], "input", start, self.crops.size)
        if self.fields.limit < len(self.catalogue):  # what is no longer open has left the page cache
            forget({part.file for s in self.catalogue for part in s.parts("input")} - {f for f, _ in self.fields.open})
        return float(values[0, 0, 0, 0]), from_disk() - before

    def collate(self, items):
        return items


def from_disk() -> int:
    """Bytes that this process had fetched from the disk so far."""
    with open("/proc/self/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def forget(files):
    """Take files out of the page cache."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Twelve samples of one megabyte, their crops, and the bytes of all."""
    folder = tmp_path_factory.mktemp("large")
    catalogue = fields(folder, 12, (32, 32, 32), {"input": 8, "target": 1})
    geometry = geometry_of("vnet", {"depth": 1, "padding": "zero"})
    crops = Crops(index(catalogue, 16, 16, geometry))
    files = [part.file for sample in catalogue for part in sample.parts("input")]
    forget(files)
    begin = from_disk()
    np.load(files[0]).sum()
    if from_disk() - begin < os.path.getsize(files[0]):
        pytest.skip("this file system keeps its files in memory")
    return catalogue, crops, files, sum(map(os.path.getsize, files))


def read_in_an_epoch(large, neighbourhood, limit, workers):
    catalogue, crops, files, total = large
    task = Reading(catalogue, crops, limit)
    order = Order(len(crops), 2, 0, crops.near, neighbourhood)
    source = Batches(task, Split(crops, [], []), order)
    forget(files)
    batches = stream(source, [(FIT, step) for step in range(order.per_epoch)], workers, False)
    return sum(read for batch in batches for _, read in batch) / total


def test_a_dataset_larger_than_the_page_cache_is_read_about_once_an_epoch(large):
    """The page cache holds four samples of twelve, as two streams with one neighbour each want."""
    assert read_in_an_epoch(large, 1.0, 4, 0) < 1.25
    assert read_in_an_epoch(large, None, 4, 0) > 2.5  # it matters


def test_eight_workers_read_every_file_once_an_epoch(large):
    assert 0.9 < read_in_an_epoch(large, 1.0, 64, 8) < 1.25
