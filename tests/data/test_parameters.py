"""Numbers of whole samples: read from a table or from attributes, kept in the catalogue, told to networks as styles."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from m2m_core.data.catalogue import Catalogue, inspected
from m2m_core.data.parameters import names_in, read
from m2m_core.data.sources import hdf5, inventory, npy, places
from m2m_core.data.styles import Styles
from m2m_core.errors import DataError
from m2m_core.physics.cosmology import growth


def written(tmp_path, text):
    path = tmp_path / "cosmology.csv"
    path.write_text(text)
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Options of three samples in .npy files."""
    for i in range(3):
        for side in ("in", "out"):
            np.save(tmp_path / f"{side}_{i}.npy", np.random.default_rng(i).standard_normal((1, 4, 4), "f4"))
    return {"input": f"{tmp_path}/in_*.npy", "target": f"{tmp_path}/out_*.npy"}


def test_a_table_gives_every_sample_its_numbers_whatever_the_order(files, tmp_path):
    table = written(tmp_path, "omega_m, id, A_s, redshift\n0.3,2,2.1e-9,0\n0.2,0,1.9e-9,1\n0.4,1,2,0.5\n9,other,9,9\n")
    samples = npy(**files, parameters=table, redshift=7.0)
    assert [(s.omega_m, s.redshift, s.parameters) for s in samples] == [
        (0.2, 1.0, {"A_s": 1.9e-9}),
        (0.4, 0.5, {"A_s": 2.0}),
        (0.3, 0.0, {"A_s": 2.1e-9}),
    ]
    catalogue = inspected(samples)
    catalogue.write(tmp_path / "catalogue.csv")
    assert Catalogue.read(tmp_path / "catalogue.csv") == catalogue
    assert names_in(table) == ["omega_m", "A_s", "redshift"]


def test_the_table_is_one_of_the_files_that_a_dataset_depends_on(files, tmp_path):
    source = {"kind": "npy", **files, "parameters": written(tmp_path, "id,b\n0,1\n1,1\n2,1\n")}
    assert source["parameters"] in {path for path, *_ in inventory(source)}
    assert all(source["parameters"] in found for found in places(source).values())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,a\n0,1\n2,1\n", "lacks 1; expected a line for every sample"),
        ("id,a\n0,1\n0,1\n", "line 3: sample id '0' stands twice; expected one line a sample"),
        ("id,a\n0,x\n", "line 2: a is 'x'; expected a finite number"),
        ("id,a\n0,nan\n", "line 2: a is 'nan'; expected a finite number"),
        ("id,omega_m\n0,-1\n", "line 2: omega_m is -1; expected a number above 0"),
        ("id,redshift\n0,-1\n", "line 2: redshift is -1; expected a number above -1"),
        ("id,a\n0\n", "line 2: 1 values; expected 2, as many as there are columns"),
        ("a,b\n0,1\n", "line 1: columns a, b; expected id and different names of parameters"),
        ("id,a,a\n0,1,1\n", "line 1: columns id, a, a; expected id and different names of parameters"),
        ("id,a b\n0,1\n", "line 1: column 'a b'; expected a name like"),
        ("", "line 1: columns none; expected id and different names of parameters"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(files, tmp_path, text, line):
    with pytest.raises(DataError) as error:
        npy(**files, parameters=written(tmp_path, text))
    assert str(error.value).startswith(f"{tmp_path}/cosmology.csv: {line}")


def test_no_table(files):
    with pytest.raises(DataError, match="nowhere.csv"):
        npy(**files, parameters="nowhere.csv")
    assert names_in("nowhere.csv") == []


def test_attributes_of_files(tmp_path):
    for i in range(2):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["input"] = file["target"] = np.zeros((1, 4, 4), "f4")
            file.attrs["sigma_8"] = 0.8 + 0.1 * i
            file["input"].attrs["n_s"] = 0.96
    source = {"input": f"{tmp_path}/*.h5", "target": f"{tmp_path}/*.h5"}
    samples = hdf5(**source, parameters=["sigma_8", "n_s"])
    assert [s.parameters for s in samples] == [{"sigma_8": 0.8, "n_s": 0.96}, {"sigma_8": 0.9, "n_s": 0.96}]
    with pytest.raises(DataError, match="sample '0': no attribute 'h' in its files; expected a number"):
        hdf5(**source, parameters=["h"])


# ---- styles


def samples_of(*omega_m):
    return [SimpleNamespace(id=str(m), redshift=1.0, omega_m=m, parameters={"b": 2.0}) for m in omega_m]


def test_styles_are_of_the_training_samples_alone_unless_given():
    training = samples_of(0.2, 0.4)
    styles = Styles({"omega_m": {}, "b": {}}, training)
    assert np.allclose([styles.of(s) for s in training], [[-1, 0], [1, 0]], atol=1e-6)  # b does not differ
    (other,) = samples_of(0.6)
    assert np.allclose(styles.of(other), [3, 0], atol=1e-6)
    given = Styles({"omega_m": {"shift": 0.3, "spread": 0.2}, "growth": {"shift": 0.0, "spread": 1.0}}, training)
    assert np.allclose(given.of(other), [1.5, growth(1.0, 0.6)]) and given.of(other).dtype == np.float32
    plain = Styles({"b": {}, "growth": {}, "omega_m": {}}, training, ("omega_m", "growth"))
    assert np.allclose(plain.of(other), [0.6, growth(1.0, 0.6), 0])
    assert len(Styles({}, training)) == 0 and Styles({}, training).of(other).shape == (0,)


def test_a_style_that_no_sample_has():
    with pytest.raises(DataError, match="has no number 'sigma8'; expected one of redshift, omega_m, growth, b"):
        Styles({"sigma8": {}}, samples_of(0.3))


def test_the_first_line_alone_is_read_for_names(tmp_path):
    assert names_in(written(tmp_path, "id,a\n\x00\n")) == ["a"]
    with pytest.raises(DataError):
        read(tmp_path / "missing.csv")
