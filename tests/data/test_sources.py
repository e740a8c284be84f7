"""Sources: wildcards name the samples, pairing is by id, and headers alone are read."""

import glob
import os

import numpy as np
import pytest

from m2m_core import registry
from m2m_core.data.patterns import expand, files
from m2m_core.data.sources import hdf5, inventory, npy
from m2m_core.errors import ConfigError, DataError
from tests.data.making import field, h5, pairs


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, field((1, 2, 2), len(name)))


@pytest.mark.parametrize(
    "pattern, ids",
    [
        ("*/x_*.npy", ["run1-0", "run1-1", "run2-0"]),
        ("**/x_*.npy", ["0", "0", "1"]),
        ("run1/x_?.npy", ["0", "1"]),
        ("run[12]/x_[!1].npy", ["1-0", "2-0"]),
        ("run1/x_1.npy", ["x_1"]),
        ("run1/*", ["x_0", "x_1"]),
        ("{id}/x_1.npy", ["run1"]),
        ("{group}/x_*.npy", ["run1-0", "run1-1", "run2-0"]),
        ("run{group}/x_{id}.npy", ["0", "0", "1"]),
        ("run1//x_*.npy", ["0", "1"]),
    ],
)
def test_ids_from_patterns(tmp_path, monkeypatch, pattern, ids):
    touch(tmp_path, "run1/x_0.npy", "run1/x_1.npy", "run2/x_0.npy")
    monkeypatch.chdir(tmp_path)
    for prefix in ("", f"{tmp_path}/"):
        found = expand(prefix + pattern)
        assert sorted(match.id for match in found) == ids
        assert all(match.file.startswith(prefix or "run") for match in found)


def test_a_placeholder_that_stands_twice(tmp_path):
    touch(tmp_path, "a/a.npy", "a/b.npy", "b/b.npy")
    assert [match.id for match in expand(f"{tmp_path}/{{id}}/{{id}}.npy")] == ["a", "b"]


def test_hidden_files_and_links_to_folders(tmp_path):
    touch(tmp_path, "x/a.npy", "x/.b.npy", ".y/c.npy")
    (tmp_path / "x" / "loop").symlink_to(tmp_path)
    assert [os.path.basename(file) for file in files(f"{tmp_path}/**/*.npy")] == ["a.npy"]


def test_a_pattern_is_not_an_expression(tmp_path):
    touch(tmp_path, "a+b(1).npy", "aab1.npy")
    assert [match.id for match in expand(f"{tmp_path}/a+b(*).npy")] == ["1"]


def test_an_escaped_path_is_no_wildcard(tmp_path):
    touch(tmp_path, "a[1]*?/x_7.npy")
    (match,) = expand(glob.escape(f"{tmp_path}/a[1]*?/x_7.npy"))
    assert match.id == "x_7"


def test_samples_of_npy_files(tmp_path):
    section = pairs(tmp_path, 3)
    found = npy(**section, box_size=100.0, redshift=1.0, quantities={"input": "displacement"}, periodic=False)
    assert [s.id for s in found] == ["0", "1", "2"] and [s.group for s in found] == ["0", "1", "2"]
    assert found[0].box_size == (100.0,) * 3 and not found[0].periodic and found[0].redshift == 1.0
    assert found[0].quantities("input") == (("displacement", 3),)
    assert npy(**section)[0].box_size == (8.0, 8.0, 8.0)


def test_parts_groups_and_baselines(tmp_path):
    touch(tmp_path, *(f"{g}/{f}_{n}.npy" for g in "ab" for f in ("dis", "vel", "out", "lpt") for n in "01"))

    def glob(name):
        return f"{tmp_path}/{{group}}/{name}_*.npy"

    found = npy(
        input={"psi": [glob("dis")], "v": glob("vel")},
        target=[glob("out")],
        baselines={"2lpt": glob("lpt")},
        quantities={"psi": "displacement", "v": "vector"},
    )
    assert [(s.id, s.group) for s in found] == [("a-0", "a"), ("a-1", "a"), ("b-0", "b"), ("b-1", "b")]
    assert found[0].shape("input") == (2, 2, 2) and list(found[0].fields) == ["input", "target", "2lpt"]
    assert found[0].quantities("input") == (("displacement", 1), ("vector", 1))


def test_samples_of_hdf5_files_describe_themselves(tmp_path):
    physics = {"box_size": [10.0, 20.0], "redshift": 0.5, "omega_m": 0.25, "periodic": False, "complete": 1}
    for n in range(2):
        h5(tmp_path / f"{n}.h5", physics, input=field((2, 4, 4)), target=field((2, 4, 4)))
    import h5py

    with h5py.File(tmp_path / "0.h5", "a", libver="latest") as file:
        file["input"].attrs["quantity"] = "vector"
    pattern = f"{tmp_path}/*.h5"
    first, second = hdf5(input=pattern, target=pattern)
    assert first.quantities("input") == (("vector", 2),) and second.quantities("input") == (("scalar", 2),)
    assert (first.box_size, first.redshift, first.omega_m, first.periodic) == ((10.0, 20.0), 0.5, 0.25, False)
    one = hdf5(input=pattern, target=pattern, box_size=5.0, redshift=0.0, omega_m=0.3, periodic=True)[0]
    assert (one.box_size, one.redshift, one.omega_m, one.periodic) == ((5.0, 5.0), 0.0, 0.3, True)


def test_datasets_inside_groups_and_as_parts(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for name in ("fields/psi", "fields/v", "out"):
            file[name] = field((1, 4, 4))
    path = str(tmp_path / "a.h5")
    datasets = {"psi": "fields/psi", "v": "fields/v", "target": "out"}
    found = hdf5(input={"psi": path, "v": path}, target=path, datasets=datasets)[0]
    assert [part.dataset for part in found.fields["input"]] == ["fields/psi", "fields/v"]
    apart = {"input.psi": "fields/psi", "target.psi": "out"}
    kinds = {"input.psi": "vector", "psi": "displacement"}
    found = hdf5(input={"psi": path}, target={"psi": path}, datasets=apart, quantities=kinds)[0]
    places = [(part.dataset, part.quantity) for side in ("input", "target") for part in found.fields[side]]
    assert places == [("fields/psi", "vector"), ("out", "displacement")]


def test_attributes_that_make_no_sense(tmp_path):
    for attributes in (
        {"box_size": -1.0},
        {"redshift": "x"},
        {"redshift": -1.0},
        {"omega_m": [1.0, 2.0]},
        {"redshift": np.nan},
    ):
        path = str(h5(tmp_path / "a.h5", attributes, input=field((1, 2, 2)), target=field((1, 2, 2))))
        with pytest.raises(DataError, match=f"a.h5: attribute {next(iter(attributes))} is .*; expected a number"):
            hdf5(input=path, target=path)


def test_files_of_a_sample_that_disagree(tmp_path):
    one = str(h5(tmp_path / "x_a.h5", {"redshift": 0.0}, input=field((1, 2, 2))))
    two = str(h5(tmp_path / "y_a.h5", {"redshift": 1.0}, target=field((1, 2, 2))))
    with pytest.raises(DataError, match="y_a.h5: redshift 1.0; .*x_a.h5 of the same sample has 0.0"):
        hdf5(input=one.replace("a.h5", "*.h5"), target=two.replace("a.h5", "*.h5"))


def test_a_sample_in_two_groups(tmp_path):
    touch(tmp_path, "x/one/0.npy", "y/two/0.npy")
    with pytest.raises(DataError, match="sample '0': in two groups: .*x/one/0.npy and .*y/two/0.npy"):
        npy(input=f"{tmp_path}/x/{{group}}/{{id}}.npy", target=f"{tmp_path}/y/{{group}}/{{id}}.npy")


def test_mistaken_names(tmp_path):
    section = pairs(tmp_path, 1)
    with pytest.raises(ConfigError, match="quantities.inptu: no such field or part; known: input, target"):
        npy(**section, quantities={"inptu": "vector"})
    with pytest.raises(ConfigError, match="baselines: 'input' is the name"):
        npy(**section, baselines={"input": section["input"]})
    with pytest.raises(ConfigError, match="target: no patterns"):
        npy(input=section["input"], target=[])


def test_options_are_checked_without_importing():
    checked = registry.check("source", "npy", {"input": "a", "target": ["b"], "box_size": [1.0, 2.0]})
    assert checked["quantities"] == {} and checked["periodic"] is True
    with pytest.raises(ConfigError, match="quantities.input"):
        registry.check("source", "npy", {"input": "a", "target": "b", "quantities": {"input": "tensor"}})
    for name in ("npy", "hdf5"):
        entry = registry.find("source", name)
        assert set(entry.options) == set(entry.texts)


def test_inventory(tmp_path):
    section = pairs(tmp_path, 2)
    found = inventory({"kind": "npy", **section})
    assert [os.path.basename(file) for file, _, _ in found] == ["0.npy", "1.npy"] * 2
    assert {size for _, size, _ in found} == {(tmp_path / "input" / "0.npy").stat().st_size}
    os.utime(tmp_path / "input" / "0.npy", (1e9, 1e9))
    assert inventory(section) != found and inventory(section)[0][2] == 10**18
    assert inventory({"kind": "nbody", "samples": 3}) == []
