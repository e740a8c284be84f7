"""Crops are what a wrapped index gives; files are opened once, few at a time, and checked against the catalogue."""

import os
import pickle
import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2m_core.data.catalogue import build
from m2m_core.data.fields import Fields
from m2m_core.data.sources import hdf5
from m2m_core.errors import DataError
from tests.data.making import catalogue, field, h5, part, sample


def wrapped(array, start, shape):
    index = [np.arange(a, a + n) % m for a, n, m in zip(start, shape, array.shape[1:], strict=True)]
    return array[np.ix_(range(len(array)), *index)]


def padded(array, start, shape):
    wide = np.pad(array, [(0, 0)] + [(40, 40)] * (array.ndim - 1))
    return wide[:, *(slice(40 + a, 40 + a + n) for a, n in zip(start, shape, strict=True))]


@st.composite
def crops(draw):
    space = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    start = [draw(st.integers(-20, 20)) for _ in space]
    return space, start, [draw(st.integers(1, 15)) for _ in space]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(crops(), st.booleans(), st.sampled_from(["<f4", ">f4", "<f8", "<f2", "i2"]), st.booleans())
def test_block(tmp_path, crop, periodic, dtype, fortran):
    space, start, shape = crop
    one, two = (9 * field((3, *space), 1)).astype(dtype), field((2, *space), 5)
    parts = part(tmp_path / "a.npy", np.asfortranarray(one) if fortran else one), part(tmp_path / "b.npy", two)
    here = sample(periodic, input=parts)
    array = np.concatenate([one.astype("f4"), two])
    expected = (wrapped if periodic else padded)(array, start, shape)
    found = Fields().block(here, "input", start, shape)
    assert found.dtype == np.float32 and found.dtype.isnative and np.array_equal(found, expected)
    out = np.full(expected.shape, np.nan, "f4")
    assert Fields().block(here, "input", start, shape, out) is out and np.array_equal(out, expected)


def test_whole_is_a_copy_of_the_file(tmp_path):
    found = catalogue(tmp_path)
    values = Fields().whole(found["2"], "target")
    assert np.array_equal(values, field(seed=102)) and values.flags.writeable
    values[:] = 0
    assert np.array_equal(Fields().whole(found["2"], "target"), field(seed=102))


def test_chunked_and_contiguous_hdf5(tmp_path):
    import h5py

    array = field((2, 6, 6, 6))
    h5(tmp_path / "a.h5", input=array)
    with h5py.File(tmp_path / "a.h5", "a", libver="latest") as file:
        file.create_dataset("target", data=array, chunks=(1, 4, 4, 4), compression="gzip", fletcher32=True)
    pattern = f"{tmp_path}/*.h5"
    here = build(hdf5(input=pattern, target=pattern), {"a": 0})["a"]
    for name in ("input", "target"):
        assert np.array_equal(Fields().block(here, name, (-2, 3, 1), (5, 5, 5)), wrapped(array, (-2, 3, 1), (5, 5, 5)))


def test_each_file_is_opened_once_and_few_are_kept(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("m2m_core.data.arrays.open_array", lambda file, dataset: opened.append(file) or np.load(file))
    found, fields = catalogue(tmp_path, 5), Fields(limit=3)
    for _ in range(3):
        fields.whole(found["0"], "input")
    assert len(opened) == 1
    for here in found:
        fields.whole(here, "input")
    assert len(opened) == 5 and len(fields.open) == 3
    fields.whole(found["4"], "input")
    assert len(opened) == 5
    fields.whole(found["2"], "input")
    fields.whole(found["0"], "input")
    assert len(opened) == 6
    fields.whole(found["2"], "input")
    assert len(opened) == 6  # the one least recently used was given up, not the one first opened


def test_few_file_handles(tmp_path):
    """L8: hundreds of files under a limit of 64 open ones."""
    found = catalogue(tmp_path, 150, (1, 2, 2))
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        fields = Fields(limit=4096)
        good = all(fields.whole(here, name).any() for here in found for name in ("input", "target"))
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_fork_and_a_pickle_open_their_own(tmp_path):
    found, fields = catalogue(tmp_path), Fields()
    expected = fields.whole(found["0"], "input")
    again = pickle.loads(pickle.dumps(fields))
    assert not again.open and np.array_equal(again.whole(found["0"], "input"), expected)
    before = fields.open[found["0"].fields["input"][0].file, ""]
    child = os.fork()
    if not child:
        same = np.array_equal(fields.whole(found["0"], "input"), expected)
        mine = fields.open[found["0"].fields["input"][0].file, ""] is not before
        os._exit(0 if same and mine else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_changed_files_are_noticed(tmp_path):
    found = catalogue(tmp_path)
    file = tmp_path / "input" / "1.npy"
    np.save(file, field((3, 8, 8, 9)))
    with pytest.raises(DataError, match="input/1.npy: changed since the catalogue was made: size"):
        Fields().whole(found["1"], "input")
    np.save(file, field((3, 4, 16, 8)))
    with pytest.raises(DataError, match="changed since the catalogue was made: shape"):
        Fields().whole(found["1"], "input")
    np.save(file, field().view("i4"))
    with pytest.raises(DataError, match="changed since the catalogue was made: dtype"):
        Fields().whole(found["1"], "input")
    file.unlink()
    with pytest.raises(DataError, match="input/1.npy: no such file"):
        Fields().whole(found["1"], "input")


def test_verify_hashes_again(tmp_path):
    found = catalogue(tmp_path)
    Fields().verify(found["1"])
    file = tmp_path / "target" / "1.npy"
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    Fields().whole(found["1"], "target")
    with pytest.raises(DataError, match="target/1.npy: damaged: sha256"):
        Fields().verify(found["1"])


def test_values_that_float32_cannot_hold(tmp_path):
    array = field((1, 4, 4), dtype="f8")
    array[0, 1, 2] = 1e39
    here = sample(input=part(tmp_path / "a.npy", array))
    with pytest.raises(DataError, match="a.npy: 1 values are not finite as float32"):
        Fields().whole(here, "input")
    assert np.isfinite(Fields().block(here, "input", (2, 0), (2, 4))).all()
    assert np.isinf(Fields(mask=True).whole(here, "input")[0, 1, 2])
