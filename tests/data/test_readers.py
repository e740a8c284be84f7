"""Every reader: the header tells the truth, slices are those of the array, any bytes give an array or a DataError."""

import contextlib
import io
import os
import signal
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from m2m_core import registry
from m2m_core.data.readers import attributes, header, open_array, suffixes
from m2m_core.data.readers.probe import probe
from m2m_core.data.sources import hdf5 as hdf5_source
from m2m_core.errors import DataError
from tests.data.making import field, h5

WRITERS = {
    "npy": lambda path, array: np.save(path, array),
    "hdf5": lambda path, array: h5(path, data=array),
    "hdf5 in chunks": lambda path, array: chunked(path, array),
}
DTYPES = ["<f2", "<f4", "<f8", ">f4", ">f8", "u1", "<i2", ">i4", "<u8"]


def chunked(path, array, **options):
    with h5py.File(path, "w", libver="latest") as file:
        chunks = tuple(min(3, n) for n in array.shape)
        file.create_dataset("data", data=array, chunks=chunks, compression="gzip", fletcher32=True, **options)


def written(folder, form, array):
    path = folder / ("a.npy" if form == "npy" else "a.h5")
    WRITERS[form](path, array)
    return path, "" if form == "npy" else "data"


def test_every_reader_is_tested():
    assert set(registry.entries("reader")) == {form.split()[0] for form in WRITERS}
    assert set(suffixes()) == {".npy", ".h5", ".hdf5", ".hdf"}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_header_and_slices(tmp_path, form, dtype):
    array = (50 * np.abs(field((2, 5, 4, 7)))).astype(dtype)
    path, dataset = written(tmp_path, form, array)
    found = header(path, dataset)
    assert (found.shape, found.dtype, found.size) == (array.shape, array.dtype.str, path.stat().st_size)
    assert (found.offset is None) == (form == "hdf5 in chunks")
    values = open_array(path, dataset)
    for key in [np.s_[:], np.s_[1, 2:4], np.s_[:, 1:5, :, 3:], np.s_[0, 0, 0, 0]]:
        assert np.array_equal(values[key], array[key])


@pytest.mark.parametrize("shape", [(1, 5), (2, 3, 4), (2, 3, 4, 5)])
def test_fortran_order(tmp_path, shape):
    array = field(shape)
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    assert np.array_equal(open_array(tmp_path / "a.npy")[:], array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_npy(tmp_path, version):
    array = field((2, 3, 4))
    with open(tmp_path / "a.npy", "wb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(stream, array, version=version)
    assert np.array_equal(open_array(tmp_path / "a.npy")[:], array)


def test_layouts_of_hdf5(tmp_path):
    array = field((1, 4, 4))
    with h5py.File(tmp_path / "old.h5", "w", userblock_size=512) as file:
        file["data"] = array
    with h5py.File(tmp_path / "compact.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(array.shape)
        made = h5py.h5d.create(file.id, b"data", h5py.h5t.IEEE_F32LE, space, plist)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, array)
    for name in ("old.h5", "compact.h5"):
        assert np.array_equal(open_array(tmp_path / name, "data")[:], array)


@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": True}, {"fletcher32": True}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf"},
     {"compression": "gzip", "fletcher32": True}, {"scaleoffset": 3}],
)  # fmt: skip
@pytest.mark.parametrize("libver", ["latest", "earliest"])
def test_filters_of_hdf5(tmp_path, options, libver):
    array = np.round(field((2, 5, 4, 7)), 1)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("data", data=array, chunks=(1, 2, 3, 7), **options)
    assert np.allclose(open_array(tmp_path / "a.h5", "data")[:], array, atol=2e-3 if "scaleoffset" in options else 0)


def test_a_filter_that_is_not_installed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 4))
        plist.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, ())
        made = h5py.h5d.create(file.id, b"data", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((1, 4)), plist)
        made.write_direct_chunk((0, 0), bytes(16))
    with pytest.raises(DataError, match="a.h5: '/data' is packed by filter 40000, which is not installed"):
        header(tmp_path / "a.h5", "data")


def test_attributes_of_hdf5(tmp_path):
    path = h5(tmp_path / "a.h5", {"box_size": [1.0, 2.0], "redshift": 0.5, "other": 1}, data=field((1, 2, 2)))
    (found,) = attributes(path, ["data"])
    assert found["box_size"].tolist() == [1.0, 2.0] and found["redshift"] == 0.5 and len(found) == 2


def test_a_text_that_hdf5_never_ends_reading(tmp_path, monkeypatch):
    """D32: HDF5 2.0 loops for ever in a heap of texts whose free space claims no bytes; heaps have no checksum."""
    monkeypatch.setattr("m2m_core.data.readers.probe.PATIENCE", 0.5)
    good = h5(tmp_path / "a.h5", data=field((1, 2, 2)))
    with h5py.File(good, "a", libver="latest") as file:
        file["data"].attrs["quantity"] = "vector"
    whole = good.read_bytes()
    place = whole.index(b"GCOL") + 16 + 16 + 8 + 8  # behind the head and the one text
    bad = tmp_path / "b.h5"
    bad.write_bytes(whole[:place] + bytes(8) + whole[place + 8 :])
    assert header(bad, "data").shape == (1, 2, 2)
    probe({str(good): ["data"]})
    with pytest.raises(DataError, match="b.h5: damaged: HDF5 does not end reading it within"):
        probe({str(good): ["data"], str(bad): ["data"]})
    with pytest.raises(DataError, match="b.h5: damaged: HDF5 does not end reading it within"):
        hdf5_source(input=str(bad), target=str(bad), datasets={"input": "data", "target": "data"})


def test_a_file_that_crashes_hdf5(tmp_path, monkeypatch):
    def crash(file, datasets):
        if file.endswith("b.h5"):
            os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr("m2m_core.data.readers.probe.attributes", crash)
    for name in "abc":
        h5(tmp_path / f"{name}.h5", data=field((1, 2, 2)))
    with pytest.raises(DataError, match="b.h5: damaged: HDF5 crashes on it"):
        probe({f"{tmp_path}/{name}.h5": ["data"] for name in "abc"})


def test_filters_that_crash_hdf5(tmp_path):
    """D32: one bit turns the checksum, filter 3, into filter 5, which HDF5 2.0 runs without the parameters it needs."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("data", data=field((2, 4, 4)), chunks=(1, 2, 4), fletcher32=True)
    whole = bytearray(path.read_bytes())
    place = whole.index(b"fletcher32") - 8  # id, length of the name, flags and number of parameters: two bytes each
    assert whole[place] == h5py.h5z.FILTER_FLETCHER32
    whole[place] = h5py.h5z.FILTER_NBIT
    path.write_bytes(whole)
    with pytest.raises(DataError, match="a.h5: damaged: HDF5 crashes on it"):
        probe({str(path): ["data"]})


def test_other_faults_are_left_to_the_reader(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing")
    probe({f"{tmp_path}/a.h5": ["data"], f"{tmp_path}/gone.h5": ["data"]})


# ---- any bytes


def npy(array):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def hdf5(layout):
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        array = field((2, 4, 4))
        options = {"chunks": (1, 2, 4), "fletcher32": True} if layout == "chunked" else {}
        file.create_dataset("data", data=array, **options).attrs["quantity"] = "vector"
        file.attrs["box_size"] = 1.0
    return stream.getvalue()


arrays = hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
HDF5 = [hdf5("contiguous"), hdf5("chunked")]


@st.composite
def damaged(draw, whole):
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["flip", "cut", "grow", "header"]))
        if kind == "cut":
            del data[draw(st.integers(0, len(data))) :]
        elif kind == "grow":
            data += draw(st.binary(max_size=64))
        elif data:
            top = len(data) if kind == "flip" else min(len(data), 128)
            data[draw(st.integers(0, top - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def judge(path, dataset):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = open_array(path, dataset)
            values = np.asarray(array[:])
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert values.ndim >= 2 and values.dtype.kind in "fiu" and values.size
        with np.errstate(over="ignore"):
            assert values.astype("f4").shape == header(path, dataset).shape


FUZZ = dict(suppress_health_check=list(HealthCheck), database=None)


@settings(max_examples=1200, **FUZZ)
@given(st.one_of(damaged(arrays.map(npy)), st.binary(max_size=300)))
def test_any_bytes_as_npy(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "field.npy"
    path.write_bytes(data)
    judge(path, "")


@settings(max_examples=150, **FUZZ)
@given(damaged(st.sampled_from(HDF5)))
def test_any_bytes_as_hdf5(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "field.h5"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        probe({str(path): ["data"]})
        judge(path, "data")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("claim", [0, 2, 10**6])
def test_a_chunk_that_claims_no_bytes_or_too_many(tmp_path, claim, compression):
    """D32: HDF5 2.0 crashes on the first; the sizes of chunks have no checksum in files of the old format."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        options = {"chunks": (1, 2, 4), "fletcher32": True, "compression": compression}
        size = file.create_dataset("data", data=field((2, 4, 4)), **options).id.get_chunk_info(0).size
    whole = bytearray(path.read_bytes())
    tree = whole.index(b"TREE", whole.index(b"TREE") + 1)  # the first is that of the group
    assert whole[tree + 24 : tree + 28] == size.to_bytes(4, "little")
    whole[tree + 24 : tree + 28] = claim.to_bytes(4, "little")
    path.write_bytes(whole)
    with pytest.raises(DataError, match=f"a.h5: '/data' is damaged: a chunk of {claim} bytes at"):
        open_array(path, "data")


ODD = [("f8", (99,)), (h5py.vlen_dtype("i4"), ()), ("i4,f4", ()), (h5py.ref_dtype, ())]


@pytest.mark.parametrize("dtype, shape", ODD)
def test_attributes_that_are_neither_numbers_nor_texts(tmp_path, dtype, shape):
    """D32: a damaged byte turns a text into a list of anything, which HDF5 2.0 reads out of bounds."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["data"] = field((1, 2, 2))
        kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
        space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(file["data"].id, b"quantity", kind, space)
    with pytest.raises(DataError, match="a.h5: attribute 'quantity' is neither a few numbers nor a text"):
        attributes(tmp_path / "a.h5", ["data"])
