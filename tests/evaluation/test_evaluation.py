"""Which parts of a target are judged under which names, and the table on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_core import registry
from m2m_core.errors import ConfigError, DataError
from m2m_core.metrics import compare, table
from m2m_core.metrics.table import Row

MSE = {"mean_square_error": {}}
BOX = (16.0, 16.0, 16.0)
AROUND = (True,) * 3
HEADER = "sample,source,field,metric,x,value\n"


def noise(channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, 8, 8, 8)).astype(np.float32)


def names(rows: list) -> list[str]:
    return list(dict.fromkeys(row[0] for row in rows))


def test_parts_are_judged_one_by_one():
    truth, prediction = noise(5), noise(5)
    prediction[3] += 2.0
    rows = compare(prediction, truth, BOX, AROUND, [("displacement", 3), ("scalar", 1), ("scalar", 1)], MSE)
    mse = {field: value for field, metric, _, value in rows if metric == "mse"}
    assert names(rows) == ["displacement", "density", "field", "field_2"]
    assert mse["displacement"] == mse["density"] == mse["field_2"] == 0
    assert mse["field"] == pytest.approx(4.0)


def test_open_boxes_have_no_density():
    for around in (False, False, False), (True, True, False):
        rows = compare(noise(3), noise(3), BOX, around, [("displacement", 3)], MSE)
        assert names(rows) == ["displacement"]


def test_two_displacements_in_one_part_have_no_density():
    assert names(compare(noise(6), noise(6), BOX, AROUND, [("displacement", 6)], MSE)) == ["displacement"]


def test_every_metric_gets_its_options():
    metrics = {"one_point": {"bins": 7}, "power_spectrum": {}, "cross_correlation": {}}
    rows = compare(noise(3), noise(3, 1), BOX, AROUND, [("vector", 3)], metrics)
    assert names(rows) == ["vector"]
    assert sum(metric == "pdf" for _, metric, _, _ in rows) == 7
    assert {"transfer", "cross_correlation", "modes"} <= {metric for _, metric, _, _ in rows}
    assert all(type(value) is float and (x is None or type(x) is float) for _, _, x, value in rows)


def test_perfect_displacement_is_a_perfect_density():
    metrics = {"power_spectrum": {}, "cross_correlation": {}}
    rows = compare(noise(3), noise(3), BOX, AROUND, [("displacement", 3)], metrics)
    found = {(field, metric): value for field, metric, _, value in rows}
    assert found["density", "transfer"] == found["displacement", "transfer"] == 1
    assert found["density", "cross_correlation"] == pytest.approx(1, abs=1e-12)


def test_complaints():
    with pytest.raises(ConfigError, match="did you mean 'power_spectrum'"):
        compare(noise(1), noise(1), BOX, AROUND, [("scalar", 1)], {"power_spectra": {}})
    with pytest.raises(DataError, match="prediction of 3 channels, truth of 4"):
        compare(noise(3), noise(4), BOX, AROUND, [("scalar", 4)], MSE)
    broken = np.where(np.arange(8) == 5, np.nan, noise(1))
    with pytest.raises(DataError, match="field: prediction: 64 of 512 values"):
        compare(broken, noise(1), BOX, AROUND, [("scalar", 1)], MSE)


def test_values_that_are_not_finite_are_refused(monkeypatch):
    monkeypatch.setattr(registry, "load", lambda kind, name: lambda comparison: [("odd", 0.1, np.nan)])
    with pytest.raises(DataError, match="metric mine of field: odd: value nan at x = 0.1"):
        compare(noise(1), noise(1), BOX, AROUND, [("scalar", 1)], {"mine": {}})


# ---- the table

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, st.none() | FLOAT, FLOAT)))
def test_table_comes_back_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    table.write(path, rows)
    assert table.read(path) == [Row(*row) for row in rows]


def test_table_is_plain_text(tmp_path):
    path = tmp_path / "fold-0" / "table.csv"
    transfer = ("a,b", "emulator", "density", "transfer", np.float32(0.5), 1)
    table.write(path, [transfer, ("c", "2lpt", "f", "mse", None, 0.1)])
    assert path.read_text() == HEADER + '"a,b",emulator,density,transfer,0.5,1.0\nc,2lpt,f,mse,,0.1\n'


@pytest.mark.parametrize("value, x", [(np.nan, None), (np.inf, None), (1.0, np.nan)])
def test_a_table_of_nothing_is_not_written(tmp_path, value, x):
    with pytest.raises(DataError, match="line 2: value"):
        table.write(tmp_path / "table.csv", [("a", "b", "c", "d", x, value)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "line 1: other columns"),
        (b"sample,field\n", "line 1: other columns"),
        (HEADER.encode() + b"a,b,c,d,,1.0\na,b,c\n", "line 3: 3 columns"),
        (HEADER.encode() + b"a,b,c,d,,\n", "line 2: x '', value ''"),
        (HEADER.encode() + b"a,b,c,d,k,1.0\n", "line 2: x 'k'"),
        (HEADER.encode() + b"a,b,c,d,,nan\n", "line 2: value nan"),
        (HEADER.encode() + b"a,b,c,d,inf,1.0\n", "line 2: value 1.0 at x = inf"),
        (HEADER.encode() + b'a,"b,c,d,,1.0\n', "not a readable table"),
        (b"\xff\xfe\x00", "not a readable table"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, content, complaint):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as error:
        table.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_table(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        table.read(tmp_path / "table.csv")
