"""Moments: equal to a float64 reference to 1e-12, whatever the offset, layout, number and order of files."""

import random
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2m_core import statistics
from m2m_core.data.catalogue import Catalogue, build
from m2m_core.data.normalize import Normalizer
from m2m_core.data.rounding import rounded
from m2m_core.data.sources import hdf5
from m2m_core.errors import DataError
from m2m_core.statistics import Moments, moments, pool, quantiles, read_moments, write_moments
from tests.data.making import catalogue, field, part, sample


def several(folder, arrays, name="input"):
    parts = [part(folder / f"{n}.npy", array) for n, array in enumerate(arrays)]
    return Catalogue(tuple(replace(sample(**{name: p}), id=str(n)) for n, p in enumerate(parts)))


def reference(arrays, function=lambda x: x):
    values = function(np.concatenate([a.reshape(len(a), -1).astype("g") for a in arrays], axis=1))
    return {"mean": values.mean(1), "std": values.std(1), "min": values.min(1), "max": values.max(1)}


def agree(found, expected, tolerance=1e-12):
    scale = np.maximum(expected["std"], np.abs(expected["mean"]))
    assert (np.abs(found["mean"] - expected["mean"]) <= tolerance * scale).all()
    assert np.allclose(found["std"], expected["std"].astype("f8"), rtol=tolerance, atol=0)
    for word in ("min", "max"):
        assert found[word] == expected[word].astype("f8").tolist()


def pooled(found, name="input", transform="identity"):
    return pool(moments(found, transform), [s.id for s in found])[name]


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", "i2"])
@pytest.mark.parametrize("fortran", [False, True])
def test_any_dtype_and_order(tmp_path, dtype, fortran):
    arrays = [(20 * field((2, 50, 40, 41), n, "f8") + 3).astype(dtype) for n in range(2)]
    arrays = list(map(np.asfortranarray, arrays)) if fortran else arrays
    agree(pooled(several(tmp_path, arrays)), reference(arrays))


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e3, -1e6, 1e9])
def test_large_offsets(tmp_path, offset):
    """D39: the magnitude of the mean costs no digits of the spread; numpy's own float64 std is no better."""
    arrays = [field((2, 64, 64, 40), n, "f8") + offset + n / 7 for n in range(3)]
    agree(pooled(several(tmp_path, arrays)), reference(arrays))


def test_the_first_block_may_be_unlike_the_rest(tmp_path):
    array = np.full((1, 300_000), 1e6) + field((1, 300_000), dtype="f8")
    array[0, : 2**17] = field((1, 2**17), dtype="f8")[0] * 1e-6
    agree(pooled(several(tmp_path, [array])), reference([array]))
    array[0, 1000:] = 1e6 + field((1, 300_000), 1, "f8")[0, 1000:]
    agree(pooled(several(tmp_path, [array])), reference([array]))


def test_one_file_or_many(tmp_path):
    """D39."""
    array = field((1, 8, 64, 64), dtype="f8") + 1e9
    whole = pooled(several(tmp_path, [array]))
    pieces = pooled(several(tmp_path, [array[:, n : n + 1] for n in range(8)]))
    agree(pieces, reference([array]))
    assert pieces["count"] == whole["count"] == [array.size]
    assert np.allclose(whole["std"], pieces["std"], rtol=1e-13, atol=0)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(-1e9, 1e9), st.floats(0, 1e12)), min_size=1, max_size=9))
def test_the_order_changes_no_bit(numbers):
    rows = [Moments(str(n), "input", 0, c, m, q, m - 1, m + 1, 0) for n, (c, m, q) in enumerate(numbers)]
    ids = [row.sample for row in rows]
    expected = pool(rows, ids)
    random.Random(0).shuffle(rows)
    assert pool(rows, ids[::-1]) == expected


def test_only_the_training_samples_count(tmp_path):
    found = catalogue(tmp_path, 6, (2, 6, 6), folds=3)
    rows = moments(found)
    for fold in range(3):
        ids = [s.id for s in found.training(fold)]
        for name, seed in (("input", 0), ("target", 100)):
            arrays = [field((2, 6, 6), seed + int(i)) for i in ids]
            agree(pool(rows, ids)[name], reference(arrays))


def test_chunked_hdf5_and_parts(tmp_path):
    one, two = field((2, 50, 60, 70), 1), field((1, 50, 60, 70), 2)
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset("one", data=one, chunks=(2, 16, 16, 16), compression="lzf", fletcher32=True)
        file.create_dataset("two", data=two)
    path = str(tmp_path / "a.h5")
    found = build(hdf5(input={"one": path, "two": path}, target=path, datasets={"target": "two"}), {"a": 0})
    agree(pooled(found), reference([np.concatenate([one, two])]))
    assert [row.channel for row in moments(found) if row.field == "input"] == [0, 1, 2]


def test_transformed_moments(tmp_path):
    arrays = [np.exp(field((2, 50, 60, 70), n)) - np.float32(0.9) for n in range(2)]
    found, expected = pooled(several(tmp_path, arrays), transform="log1p"), reference(arrays, np.log1p)
    scale = np.maximum(expected["std"], np.abs(expected["mean"]))
    assert (np.abs(found["mean"] - expected["mean"]) <= 1e-12 * scale).all()
    for word in ("std", "min", "max"):
        assert np.allclose(found[word], expected[word].astype("f8"), rtol=1e-12, atol=1e-15)


def test_values_left_out(tmp_path):
    array = np.exp(field((2, 60, 60, 60), dtype="f8"))
    array[0, 0, 0, :3], array[1, 5, 5, 5] = (np.nan, np.inf, 1e39), -1
    array[1, 6, 6, 6] = -2
    rows = moments(several(tmp_path, [array]), "log1p")
    assert [row.nonfinite for row in rows] == [3, 2] and [row.count for row in rows] == [60**3 - 3, 60**3 - 2]
    kept = array[0][np.isfinite(array[0]) & (array[0] < 1e39)]
    assert np.isclose(rows[0].mean, np.log1p(kept).mean(), rtol=1e-12)
    array[:] = np.nan
    found = several(tmp_path, [array])
    assert [row.count for row in moments(found)] == [0, 0]
    with pytest.raises(DataError, match="input channel 0: no finite value in any sample"):
        pooled(found)


def test_a_constant_channel_has_exactly_zero_spread(tmp_path):
    """D11."""
    arrays = [np.stack([field((400, 333 + n), n), np.full((400, 333 + n), 1 / 3)]) for n in range(3)]
    found = pooled(several(tmp_path, arrays))
    assert found["std"][1] == 0.0 and found["std"][0] > 0
    rounded = [Moments(str(n), "input", 0, 9, 1 / 3, 1e-33, 1 / 3, 1 / 3, 0, n * 1e-18) for n in range(3)]
    assert pool(rounded, "012")["input"]["std"] == [0.0]
    with pytest.raises(DataError, match="channel 1 has zero spread; cannot normalise"):
        Normalizer("identity", "standardise", found)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5), st.integers(0, 2**62))
def test_the_table_is_exact(tmp_path, floats, count):
    mean, m2, low, high, rest = floats
    rows = [Moments("a", "input", n, count, mean, m2, low, high, n, rest) for n in range(2)]
    write_moments(tmp_path / "m.csv", rows)
    assert read_moments(tmp_path / "m.csv") == rows


def test_measured_rows_survive_the_table(tmp_path):
    rows = moments(catalogue(tmp_path))
    write_moments(tmp_path / "m.csv", rows)
    assert read_moments(tmp_path / "m.csv") == rows
    text = (tmp_path / "m.csv").read_text()
    assert text.startswith("sample,field,channel,count,mean,m2,min,max,nonfinite") and "np.float" not in text


@pytest.mark.parametrize("text", ["", "a,b\n", "cut", "letters"])
def test_damaged_tables(tmp_path, text):
    path = tmp_path / "m.csv"
    write_moments(path, [Moments("a", "input", 0, 1, 0.0, 0.0, 0.0, 0.0, 0)])
    whole = path.read_text()
    path.write_text({"cut": whole[:-12], "letters": whole.replace("0.0", "x")}.get(text, text))
    with pytest.raises(DataError, match="m.csv: .*table of moments"):
        read_moments(path)
    with pytest.raises(DataError, match="gone.csv: no such file"):
        read_moments(tmp_path / "gone.csv")


def test_missing_rows(tmp_path):
    rows = moments(catalogue(tmp_path))
    with pytest.raises(DataError, match="no row for sample 'x'"):
        pool(rows, ["0", "x"])
    with pytest.raises(DataError, match="none of the samples has any"):
        pool([], ["0"])


def test_a_file_that_changed(tmp_path):
    found = catalogue(tmp_path)
    np.save(tmp_path / "input" / "2.npy", field((3, 8, 8, 9)))
    with pytest.raises(DataError, match="input/2.npy: changed since the catalogue was made"):
        moments(found)


# ---- what float32 does not hold


@pytest.mark.parametrize(
    "dtype, values, problem",
    [
        ("i8", [0, 2**25 + 1], "integers of up to 33554433 are rounded to float32, which has all of them up to 167"),
        ("u4", [2**24 + 1, 2**24 + 2], "integers of up to 16777218 are rounded"),
        ("f8", [1e6, 1e6 + 0.5], "values near 1e+06 with a spread of 0.25 are rounded to float32 in steps of 0.062"),
        ("f8", [1e6, -1e6], None), ("i8", [-(2**24), 3], None), ("f8", [3.1, 3.1], None), ("i2", [0, 30000], None),
        ("f4", [1e6, 1e6 + 0.5], None),
    ],
)  # fmt: skip
def test_what_float32_does_not_hold_is_said_once(tmp_path, dtype, values, problem):
    found = several(tmp_path, [np.tile(np.array(values, dtype), (1, 8, 4))] * 2)
    rows = moments(found)
    lines = rounded(found, rows)
    assert rounded(found, rows, "exp") == []
    if problem is None:
        assert lines == []
    else:
        assert len(lines) == 1 and lines[0].endswith("(and 1 more file)")
        assert lines[0].startswith(f"{tmp_path}/0.npy: {problem}")


def test_several_processes_give_the_rows_of_one(tmp_path, monkeypatch):
    files = catalogue(tmp_path, count=5)
    monkeypatch.setattr(statistics, "WORTHWHILE", 0)
    assert moments(files, ["log1p"], processes=2) == moments(files, ["log1p"])
    assert quantiles(files, processes=2) == quantiles(files)
    np.save(files.samples[3].parts("input")[0].file, field((3, 4, 4, 4)))
    with pytest.raises(DataError, match="input/3.npy: changed since the catalogue was made: size"):
        moments(files, processes=2)
