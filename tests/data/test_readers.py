"""Every reader: the header tells the truth, slices are those of the array, any bytes give an array or a DataError."""

import io
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from m2m_core import registry
from m2m_core.data.readers import attributes, header, open_array, suffixes
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


def test_attributes_of_hdf5(tmp_path):
    path = h5(tmp_path / "a.h5", {"box_size": [1.0, 2.0], "redshift": 0.5, "other": 1}, data=field((1, 2, 2)))
    (found,) = attributes(path, ["data"])
    assert found["box_size"].tolist() == [1.0, 2.0] and found["redshift"] == 0.5 and len(found) == 2


def test_a_damaged_heap_of_texts_does_not_hang(tmp_path):
    """D32: HDF5 2.0 loops for ever in a global heap whose free space claims no bytes; heaps have no checksum."""
    path = h5(tmp_path / "a.h5", data=field((1, 2, 2)))
    with h5py.File(path, "a", libver="latest") as file:
        file["data"].attrs["quantity"] = "vector"
    assert attributes(path, ["data"]) == [{"quantity": "vector"}]
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    for place in (heap + 8, heap + 16 + 8, heap + 16 + 16 + 8 + 8):  # sizes of the heap, of the text, of what is free
        path.write_bytes(whole[:place] + b"\0" * 8 + whole[place + 8 :])
        with pytest.raises(DataError, match="a.h5: damaged: the texts of its attributes are not readable"):
            attributes(path, ["data"])
        assert header(path, "data").shape == (1, 2, 2)


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
            attributes(path, [dataset])
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert values.ndim >= 2 and values.dtype.kind in "fiu" and values.size
        with np.errstate(over="ignore"):
            assert values.astype("f4").shape == header(path, dataset).shape


FUZZ = dict(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@settings(max_examples=1200, **FUZZ)
@given(st.one_of(damaged(arrays.map(npy)), st.binary(max_size=300)))
def test_any_bytes_as_npy(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "field.npy"
    path.write_bytes(data)
    judge(path, "")


@settings(max_examples=400, **FUZZ)
@given(damaged(st.sampled_from(HDF5)))
def test_any_bytes_as_hdf5(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "field.h5"
    path.write_bytes(data)
    judge(path, "data")
