"""The catalogue: exact on disk, complete, and closed to damaged tables and samples that disagree."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2m_core.data.catalogue import Catalogue, Part, Sample, build, natural
from m2m_core.data.sources import hdf5, npy
from m2m_core.errors import DataError
from tests.data.making import catalogue, field, h5, pairs

finite = st.floats(allow_nan=False, allow_infinity=False)
lengths = st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=3)
texts = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@st.composite
def samples(draw):
    names = draw(st.lists(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=4, unique=True))
    fields = draw(st.lists(st.sampled_from(["input", "target", "2lpt"]), min_size=1, max_size=3, unique=True))
    count = draw(st.integers(1, 2))

    def part():
        file, dataset, size = draw(texts), draw(st.sampled_from(["", "a/b,c"])), draw(st.integers(1, 2**50))
        return Part(file, dataset, (draw(st.integers(1, 9)), 2, 2), "<f4", size, "0" * 64, "vector", 0)

    return [
        Sample(name, draw(texts), n, {f: tuple(part() for _ in range(count)) for f in fields},
               tuple(draw(lengths)), draw(finite), draw(finite), draw(st.booleans()))
        for n, name in enumerate(names)
    ]  # fmt: skip


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(samples())
def test_what_is_read_is_what_was_written(tmp_path, some):
    one = Catalogue(tuple(some))
    one.write(tmp_path / "c.csv")
    assert Catalogue.read(tmp_path / "c.csv") == one


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_table_is_refused_or_read(tmp_path, data):
    path = tmp_path / "c.csv"
    if not path.exists():
        catalogue(tmp_path).write(tmp_path / "whole.csv")
    damaged = bytearray((tmp_path / "whole.csv").read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        del damaged[place:]
    else:
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        Catalogue.read(path)
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)


def test_two_names_for_the_same_values(tmp_path):
    import h5py

    array = field((1, 4, 4))
    array[0, 1, 1] = np.nan
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["input"] = array
        file["target"] = file["input"]
        file["other"] = field((1, 64, 64))
    path = str(tmp_path / "a.h5")
    found = build(hdf5(input=path, target=path), {"a": 0}, on_nonfinite="mask")["a"]
    assert [parts[0].nonfinite for parts in found.fields.values()] == [1, 1]
    assert found.fields["input"][0].digest == hashlib.sha256((tmp_path / "a.h5").read_bytes()).hexdigest()


def test_a_table_cut_at_its_last_byte(tmp_path):
    catalogue(tmp_path).write(tmp_path / "c.csv")
    text = (tmp_path / "c.csv").read_text()
    (tmp_path / "c.csv").write_text(text[:-1])
    with pytest.raises(DataError, match="cut short"):
        Catalogue.read(tmp_path / "c.csv")


@pytest.mark.parametrize("lines", [slice(1), slice(2), slice(1, None), slice(0, -1)])
def test_lost_lines(tmp_path, lines):
    catalogue(tmp_path).write(tmp_path / "c.csv")
    text = (tmp_path / "c.csv").read_text().splitlines(keepends=True)
    kept = text[lines] if lines != slice(2) else text[:3] + text[4:]
    (tmp_path / "c.csv").write_text("".join(kept))
    with pytest.raises(DataError, match="c.csv: line .*damaged"):
        Catalogue.read(tmp_path / "c.csv")
    with pytest.raises(DataError, match="gone.csv: no such file"):
        Catalogue.read(tmp_path / "gone.csv")


def test_contradicting_and_repeated_rows(tmp_path):
    catalogue(tmp_path).write(tmp_path / "c.csv")
    lines = (tmp_path / "c.csv").read_text().splitlines(keepends=True)
    (tmp_path / "c.csv").write_text("".join([*lines, *lines[1:3]]))
    with pytest.raises(DataError, match="sample '0' stands twice"):
        Catalogue.read(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text("".join(lines).replace("0.3175", "0.31", 1))
    with pytest.raises(DataError, match="sample '0' contradicts itself"):
        Catalogue.read(tmp_path / "c.csv")


def test_what_a_catalogue_says(tmp_path):
    found = catalogue(tmp_path, 12, (2, 4, 4), folds=3, quantities={"input": "vector"}, box_size=[10.0, 20.0])
    assert [s.id for s in found] == [str(n) for n in range(12)] and len(found) == 12
    assert found.fields == ("input", "target") and found.folds == 3
    for fold in range(3):
        assert len(found.held_out(fold)) == 4
        assert {s.id for s in found.held_out(fold)} | {s.id for s in found.training(fold)} == {s.id for s in found}
        assert all(s.fold == fold for s in found.held_out(fold))
    here = found["7"]
    assert here.shape("input") == (2, 4, 4) and here.box_size == (10.0, 20.0)
    assert here.quantities("input") == (("vector", 2),) and here.quantities("target") == (("scalar", 2),)
    file = tmp_path / "input" / "7.npy"
    assert here.fields["input"][0].digest == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="sample 'x': not in the catalogue"):
        found["x"]
    with pytest.raises(DataError, match="sample '7': no field '2lpt'; it has input, target"):
        here.shape("2lpt")


def test_natural_order():
    assert sorted(["a-10", "a-9", "b", "10", "9", "a", "09"], key=natural) == ["09", "9", "10", "a", "a-9", "a-10", "b"]


@pytest.mark.parametrize("form", ["npy", "fortran", "contiguous", "chunked"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_values_that_are_not_finite(tmp_path, form, dtype):
    """D10: file, channel, count and first index, however the array stands on disk and across read buffers."""
    import h5py

    array = np.zeros((2, 70, 70, 70), dtype)
    array[1, 3, 40, 7], array[1, 60, 2, 2], array[1, 60, 2, 3] = np.nan, np.inf, -np.inf
    path = tmp_path / ("a.npy" if form in ("npy", "fortran") else "a.h5")
    if path.suffix == ".npy":
        np.save(path, np.asfortranarray(array) if form == "fortran" else array)
        found = npy(input=str(path), target=str(path))
    else:
        with h5py.File(path, "w", libver="latest") as file:
            chunks = {"chunks": (1, 32, 32, 70)} if form == "chunked" else {}
            file.create_dataset("field", data=array, **chunks)
        found = hdf5(input=str(path), target=str(path), datasets={"input": "field", "target": "field"})
    first = r"\(60, 2, 2\)" if form == "fortran" else r"\(3, 40, 7\)"
    with pytest.raises(DataError, match=rf"{path.name}: .*3 values are not finite as float32.*channel 1 at {first}"):
        build(found, {"a": 0})
    masked = build(found, {"a": 0}, on_nonfinite="mask")
    assert masked["a"].fields["input"][0].nonfinite == 3


def test_the_digest_is_of_the_whole_file(tmp_path):
    arrays = {name: field((3, 64, 64, 32), n) for n, name in enumerate(["input", "target", "extra"])}
    path = h5(tmp_path / "a.h5", **arrays)
    found = build(hdf5(input=str(path), target=str(path)), {"a": 0})
    digests = {part.digest for parts in found["a"].fields.values() for part in parts}
    assert digests == {hashlib.sha256(path.read_bytes()).hexdigest()}


def test_duplicates(tmp_path):
    """D22."""
    section = pairs(tmp_path)
    (tmp_path / "input" / "3.npy").write_bytes((tmp_path / "input" / "1.npy").read_bytes())
    text = "'1' and '3' have the same input: .*1.npy = .*3.npy: .*different folds, 0 and 1"
    with pytest.raises(DataError, match=text):
        build(npy(**section), {"0": 0, "1": 0, "2": 1, "3": 1})
    found = build(npy(**section), {"0": 0, "1": 1, "2": 0, "3": 1})
    assert len(found.warnings) == 1 and "duplicate content" in found.warnings[0]


def test_a_tail_of_zeros_is_a_warning(tmp_path):
    """D4: what a crash of a node leaves behind."""
    section = pairs(tmp_path, 2, (1, 64, 64, 96))
    file = tmp_path / "target" / "1.npy"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    found = build(npy(**section), {"0": 0, "1": 1})
    assert len(found.warnings) == 1 and "target/1.npy: ends with 50 % zeros" in found.warnings[0]


def candidates(tmp_path, *shapes, targets=None):
    for n, shape in enumerate(shapes):
        for name, this in (("input", shape), ("target", (targets or shapes)[n])):
            (tmp_path / name).mkdir(exist_ok=True)
            np.save(tmp_path / name / f"{n}.npy", field(this, n + 7 * len(name)))
    return npy(input=f"{tmp_path}/input/*.npy", target=f"{tmp_path}/target/*.npy")


def refused(found, text, **options):
    with pytest.raises(DataError, match=text):
        build(found, {s.id: n for n, s in enumerate(found)}, **options)


def test_shapes_that_do_not_fit(tmp_path):
    refused(candidates(tmp_path, (3, 4, 4), (2, 4, 4)), r"1.npy: shape \(2, 4, 4\): 2 channels; .*0.npy has 3")
    refused(candidates(tmp_path, (3, 4, 4), (3, 4)), "1.npy: .*1 axes of space; .*0.npy has another number")
    refused(candidates(tmp_path, (8, 8, 8, 3)), r"\(8, 8, 8, 3\): looks channels-last; expected \(3, 8, 8, 8\)")
    found = candidates(tmp_path, (1, 64, 64), targets=[(1, 120, 120)])
    refused(found, r"target/0.npy .* and .*input/0.npy .*ratio 1.875 x 1.875\); expected equal shapes")
    with pytest.raises(DataError, match="holds no samples"):
        build([], {})


def test_shapes_may_differ_between_samples_and_by_a_factor(tmp_path):
    found = build(candidates(tmp_path, (1, 4, 4), (1, 6, 4)), {"0": 0, "1": 1})
    assert [s.shape("input") for s in found] == [(1, 4, 4), (1, 6, 4)]
    found = candidates(tmp_path, (1, 4, 4), (1, 6, 4), targets=[(1, 8, 8), (1, 12, 8)])
    assert build(found, {"0": 0, "1": 1}, factor=2)["1"].shape("target") == (1, 12, 8)
    refused(found, "ratio 2 x 2.; expected factor 3", factor=3)


def test_samples_that_disagree(tmp_path):
    found = candidates(tmp_path, (1, 4, 4), (1, 4, 4))
    refused([replace(found[0], box_size=(1.0,)), found[1]], "box_size has 1 lengths for 2 axes")
    refused([found[0], replace(found[1], fields={"input": found[1].fields["input"]})], "sample '1': has")
    with pytest.raises(DataError, match="sample '1': in no fold"):
        build(found, {"0": 0})
    baseline = {**found[0].fields, "2lpt": (replace(found[0].fields["input"][0], shape=(2, 4, 4)),)}
    refused([replace(found[0], fields=baseline)], "expected the shape of the target")


def test_a_file_that_changes_in_between(tmp_path):
    found = candidates(tmp_path, (1, 4, 4))
    np.save(tmp_path / "input" / "0.npy", field((1, 4, 5)))
    refused(found, "input/0.npy: changed while the catalogue was made")
