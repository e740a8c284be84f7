"""Lattices of crops: they cover, they fit, their index is small, and they never cross from one sample to another."""

import itertools
import os
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.crops import Crops, index, write_index
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.errors import ConfigError, DataError
from m2m_core.models import Geometry

NO_HALO = Geometry(0, 1, "zero")
VALID = Geometry(20, 4, "valid")
PERIODIC = Geometry(20, 4, "periodic")


@dataclass(frozen=True)
class Fake:
    """A sample of one channel."""

    id: str
    space: tuple
    periodic: bool = True
    fields = ("input", "target")

    @property
    def around(self):
        return (self.periodic,) * len(self.space) if isinstance(self.periodic, bool) else self.periodic

    def shape(self, field):
        return (1, *self.space)


def crops_of(*spaces, size, step=None, geometry=NO_HALO, periodic=True):
    samples = [Fake(f"s{n}", space, periodic) for n, space in enumerate(spaces)]
    return Crops(index(samples, size, step, geometry))


def covered(crops, name, space, periodic):
    """How many crops each voxel is in."""
    count = np.zeros(space, int)
    for start in crops.of(name):
        axes = [np.arange(a, a + n) for a, n in zip(start, crops.size, strict=True)]
        if periodic:
            axes = [axis % n for axis, n in zip(axes, space, strict=True)]
        count[np.ix_(*axes)] += 1
    return count


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("step", [2, 3, 4])
@pytest.mark.parametrize(("start", "stop"), [(0, 8), (4, None), (3, 11), ([0, 5], [12, 9])])
def test_crops_cover_the_part_that_they_are_taken_from_and_never_leave_it(start, stop, step, periodic):
    crops = Crops(index([Fake("s", (12, 12), periodic)], 4, step, NO_HALO, start=start, stop=stop))
    begin, length = crops.region("s")
    count = covered(crops, "s", (12, 12), periodic)
    inside = np.zeros((12, 12), bool)
    inside[tuple(slice(b, b + n) for b, n in zip(begin, length, strict=True))] = True
    assert (count[inside] >= 1).all() and not count[~inside].any()


@pytest.mark.parametrize(
    ("start", "stop", "line"),
    [
        (0, 13, "crops.stop: 13, but a field has 12 voxels along an axis; at most 12"),
        (9, None, "crops: from 9 to 12 there is no room for a crop of 4 voxels"),
        ([1, 2, 3], None, "crops.start: 3 numbers for fields with 2 axes; expected one, or one an axis"),
    ],
)
def test_parts_that_cannot_be(start, stop, line):
    with pytest.raises(ConfigError) as error:
        index([Fake("s", (12, 12))], 4, None, NO_HALO, start=start, stop=stop)
    assert str(error.value) == line


@st.composite
def lattices(draw):
    dims = draw(st.integers(1, 3))
    spaces = draw(st.lists(st.tuples(*[st.integers(1, 12)] * dims), min_size=1, max_size=4))
    size = tuple(draw(st.integers(1, min(axis))) for axis in zip(*spaces, strict=True))
    step = tuple(draw(st.integers(1, edge)) for edge in size)
    return spaces, size, step, draw(st.booleans())


@settings(max_examples=150)
@given(lattices())
def test_crops_cover_every_field_and_stay_inside(case):
    spaces, size, step, periodic = case
    crops = crops_of(*spaces, size=size, step=step, periodic=periodic)
    for n, space in enumerate(spaces):
        count = covered(crops, f"s{n}", space, periodic)
        assert count.min() >= 1
        starts = crops.of(f"s{n}")
        assert len({tuple(start) for start in starts}) == len(starts)
        if not periodic:
            assert (starts + size <= space).all()
        if periodic and all(n % d == 0 and (e < n or d == e) for n, d, e in zip(space, step, size, strict=True)):
            assert count.max() == count.min() or any(e % d for e, d in zip(size, step, strict=True))


@settings(max_examples=100)
@given(lattices(), st.data())
def test_a_crop_number_is_a_sample_and_a_start(case, data):
    spaces, size, step, periodic = case
    crops = crops_of(*spaces, size=size, step=step, periodic=periodic)
    every = [(f"s{n}", tuple(start)) for n in range(len(spaces)) for start in crops.of(f"s{n}").tolist()]
    assert list(crops) == every and len(crops) == len(every)
    number = data.draw(st.integers(-len(crops), len(crops) - 1))
    assert crops[number] == every[number]
    for outside in (len(crops), -len(crops) - 1):
        with pytest.raises(IndexError):
            crops[outside]


@settings(max_examples=60)
@given(lattices(), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_no_sample_has_crops_in_two_folds(case, folds):
    spaces, size, step, periodic = case
    crops = crops_of(*spaces, size=size, step=step, periodic=periodic)
    names = [f"s{n}" for n in range(len(spaces))]
    parts = [crops.among(name for name, fold in zip(names, folds, strict=False) if fold == k) for k in range(3)]
    owners = [{name for name, _ in part} for part in parts]
    assert not any(a & b for a, b in itertools.combinations(owners, 2))
    assert sum(map(len, parts)) == len(crops)


def test_a_periodic_lattice_goes_around_and_another_moves_its_last_crop_back():
    assert crops_of((8,), size=4, step=2).of("s0").ravel().tolist() == [0, 2, 4, 6]
    assert crops_of((8,), size=4, step=2, periodic=False).of("s0").ravel().tolist() == [0, 2, 4]
    assert crops_of((10,), size=4).of("s0").ravel().tolist() == [0, 4, 6]
    assert crops_of((8,), size=8, step=2).of("s0").ravel().tolist() == [0]


def test_axes_have_sizes_and_steps_of_their_own():
    crops = crops_of((8, 4, 6), size=[4, 4, 3], step=[2, 4, 3], periodic=False)
    assert crops.size == (4, 4, 3) and crops.step == (2, 4, 3)
    assert sorted({tuple(s) for s in crops.of("s0").tolist()}) == list(itertools.product((0, 2, 4), (0,), (0, 3)))


def test_whole_boxes_need_no_halo_if_the_network_closes_them():
    box = crops_of((32, 32), size=32, geometry=PERIODIC)
    assert (box.whole, box.halo, box.padding) == (True, (0, 0), "periodic")
    for crops in (
        crops_of((64, 64), size=24, geometry=PERIODIC),
        crops_of((32, 32), (64, 64), size=[32, 24], geometry=Geometry(4, 4, "periodic")),
    ):
        assert (crops.whole, set(crops.halo), crops.padding) == (False, {crops.halo[0]}, "valid")
        assert crops.halo[0] > 0


def test_a_whole_box_may_be_read_with_a_halo_beyond_its_period():
    crops = crops_of((32, 32), size=32, geometry=VALID)
    assert (crops.whole, crops.halo, crops.padding) == (True, (20, 20), "valid")


# ---- doors


@pytest.mark.parametrize(
    ("space", "size", "step", "geometry", "message"),
    [
        ((64, 64), 68, None, VALID, r"crops.size: 68, but sample 's0' has 64 voxels .* at most 24 or 64, the whole"),
        ((30, 64), 32, None, Geometry(0, 4, "zero"), r"crops.size: 32, but sample 's0' has 30 voxels .* at most 28$"),
        ((64, 64), 32, None, VALID, r"size: 32 with a halo of 20 on both sides reads 72 .* period 64 .* at most 24"),
        ((64, 64), 30, None, VALID, r"crops.size: 30; the model takes multiples of 4, nearest 28 or 32"),
        ((64, 64), 24, 25, VALID, r"crops.step: 25 leaves gaps between crops of 24; at most 24"),
        ((64, 64), [24, 24, 24], None, VALID, r"crops.size: 3 numbers for fields with 2 axes"),
        ((64, 64), 24, [24], VALID, r"crops.step: 1 numbers for fields with 2 axes"),
        ((3, 64), 4, None, VALID, r"crops.size: 4, but sample 's0' has 3 voxels along an axis; no multiple of 4 fits"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers_that_do(space, size, step, geometry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        crops_of(space, size=size, step=step, geometry=geometry)
    assert "\n" not in str(caught.value)


def test_the_error_names_the_key_that_it_was_told():
    with pytest.raises(ConfigError, match=r"^experiments.vnet.crops.step: 9"):
        index([Fake("a", (8,))], 8, 9, NO_HALO, where="experiments.vnet.crops")


def test_the_halo_of_a_field_without_period_may_reach_outside():
    assert len(crops_of((64, 64), size=32, geometry=VALID, periodic=False)) == 4


def test_samples_that_cannot_share_a_lattice_are_refused():
    with pytest.raises(DataError, match="sample 's1' has 2 axes, others have 3"):
        crops_of((8, 8, 8), (8, 8), size=4)
    with pytest.raises(DataError, match="model.padding: periodic, but sample 's0' is not"):
        crops_of((8, 8), size=8, geometry=PERIODIC, periodic=False)
    with pytest.raises(DataError, match="no samples"):
        index([], 4, None, NO_HALO)
    with pytest.raises(DataError, match="sample 'other' is not in the index"):
        crops_of((8, 8), size=8).among(["other"])


# ---- the file


def saved(path, arrays):
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return path


def test_a_damaged_or_foreign_index_is_refused(tmp_path):
    samples = [Fake("a", (8, 8)), Fake("b", (8, 8))]
    path = saved(tmp_path / "crops.npz", index(samples, 4, None, NO_HALO))
    assert list(Crops.read(path, samples)) == list(Crops.read(path))
    for others in (samples[:1], [Fake("a", (8, 8)), Fake("b", (8, 16))], [*samples, Fake("c", (8, 8))]):
        with pytest.raises(DataError, match=r"crops.npz: made for other samples"):
            Crops.read(path, others)
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match=r"crops.npz: not an index of crops \(.*\); delete it") as caught:
            Crops.read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="missing.npz"):
        Crops.read(tmp_path / "missing.npz")


def test_the_stage_writes_the_index_of_a_catalogue(tmp_path):
    def sample(name):
        part = Part(f"{name}.npy", "", (3, 16, 16, 16), "<f4", 1, "0" * 64, "displacement", 0)
        return Sample(name, name, 0, {"input": (part,), "target": (part,)}, (100.0,) * 3, 0.0, 0.3, True)

    catalogue = Catalogue((sample("a-1"), sample("a-2")))
    catalogue.write(tmp_path / "catalogue.csv")
    geometry = {"name": "vnet", "options": {"padding": "periodic", "width": 8}}
    config = {"crops": {"size": 16, "step": None}, "geometry": geometry}
    text = write_index(config, tmp_path / "catalogue.csv", tmp_path / "crops.npz")
    assert text == "2 crops of 16x16x16 with a halo of 0x0x0, in 2 samples"
    assert list(Crops.read(tmp_path / "crops.npz", catalogue)) == [("a-1", (0, 0, 0)), ("a-2", (0, 0, 0))]
    first = (tmp_path / "crops.npz").read_bytes()
    write_index(config, tmp_path / "catalogue.csv", tmp_path / "crops.npz")
    assert (tmp_path / "crops.npz").read_bytes() == first


def test_the_index_grows_with_samples_and_not_with_crops(tmp_path):
    def size(samples, edge):
        arrays = index([Fake(f"sample-{n}", (64, 64, 64)) for n in range(samples)], edge, None, NO_HALO)
        return os.path.getsize(saved(tmp_path / "crops.npz", arrays)), Crops(arrays)

    few, crops = size(1000, 32)
    many, finer = size(1000, 1)
    assert len(crops) == 8000 and len(finer) == 1000 * 64**3
    assert many < few + 100
    assert finer[-1] == ("sample-999", (63, 63, 63))
    large, crops = size(100_000, 32)
    assert len(crops) == 800_000 and large < 1_000_000
    assert crops[123_456] == ("sample-15432", (0, 0, 0))


def test_crops_of_a_periodic_model_may_read_around_the_box_more_than_once():
    crops = crops_of((64, 64), size=32, step=None, geometry=PERIODIC)
    assert crops.halo == (20, 20) and not crops.whole and crops.padding == "valid"
