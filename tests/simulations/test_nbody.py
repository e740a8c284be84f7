"""The simulator as the config calls it: its contract, its options and the file it becomes."""

import inspect

import h5py
import numpy as np
import pytest
import scipy.fft

from m2m_core import registry
from m2m_core.errors import ConfigError, RunError
from m2m_core.files import digest
from m2m_core.physics.cosmology import growth, growth_rate, hubble
from m2m_core.simulations import Simulated, SimulatedField, simulate, write
from m2m_core.simulations.nbody import nbody

SMALL = {"mesh": 16, "box_size": 50.0, "steps": 3, "seed": 7}


def rms(field: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(field, dtype=np.float64))))


@pytest.fixture(scope="module")
def sample() -> Simulated:
    return nbody(2, **SMALL, velocity=True, density=True)


def test_fields_are_what_their_names_say(sample):
    shapes = {name: (field.values.shape, field.quantity, field.unit) for name, field in sample.fields.items()}
    vector = (3, 16, 16, 16)
    assert shapes == {
        "input": (vector, "displacement", "Mpc/h"),
        "target": (vector, "displacement", "Mpc/h"),
        "2lpt": (vector, "displacement", "Mpc/h"),
        "velocity": (vector, "vector", "km/s"),
        "density": ((1, 16, 16, 16), "scalar", "1"),
    }
    assert all(field.values.dtype == np.float32 for field in sample.fields.values())
    assert all(np.isfinite(field.values).all() for field in sample.fields.values())


def test_fields_are_written_on_demand():
    assert set(nbody(0, **SMALL).fields) == {"input", "target", "2lpt"}
    assert set(nbody(0, **SMALL, second_order=False).fields) == {"input", "target"}


@pytest.mark.parametrize("mesh", [15, 16])
def test_bits_depend_on_the_seed_and_not_on_threads(mesh):
    options = {**SMALL, "mesh": mesh, "velocity": True, "density": True}
    with scipy.fft.set_workers(1):
        one = nbody(1, **options).fields
    with scipy.fft.set_workers(2):
        two = nbody(1, **options).fields
    for name, field in one.items():
        np.testing.assert_array_equal(field.values, two[name].values)
    for other in (nbody(2, **options), nbody(1, **{**options, "seed": 8})):
        a, b = one["input"].values.ravel(), other.fields["input"].values.ravel()
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_a_sample_does_not_depend_on_how_many_there_are():
    few, many = (nbody(1, **SMALL, samples=count).fields["target"].values for count in (2, 100))
    np.testing.assert_array_equal(few, many)


def test_the_input_scales_with_the_growth_factor():
    today, early = (nbody(0, **SMALL, redshift=z).fields["input"].values for z in (0.0, 2.0))
    np.testing.assert_allclose(early, growth(2.0) * today, rtol=1e-5)


@pytest.mark.parametrize(("redshift", "largest"), [(9.0, 0.9), (3.0, 0.85), (1.0, 0.85)])
def test_second_order_is_nearer_to_the_target(redshift, largest):
    fields = nbody(0, mesh=32, box_size=100.0, redshift=redshift, steps=4).fields
    first, second = (rms(fields[name].values - fields["target"].values) for name in ("input", "2lpt"))
    assert second < largest * first


def test_there_is_something_to_learn():
    fields = nbody(0, mesh=32, box_size=100.0).fields
    error = rms(fields["input"].values - fields["target"].values) / rms(fields["target"].values)
    assert 0.15 < error < 0.4


@pytest.mark.parametrize("redshift", [0.0, 1.0])
def test_velocities_of_large_scales_are_those_of_linear_theory(redshift):
    fields = nbody(0, mesh=16, box_size=800.0, redshift=redshift, steps=4, velocity=True).fields
    psi, v = (np.stack([scipy.fft.rfftn(part)[:2, :2, :2] for part in fields[n].values]) for n in ("input", "velocity"))
    expected = float(hubble(redshift) * growth_rate(redshift)) / (1.0 + redshift)  # v = a H f psi
    assert np.vdot(psi, v).real / np.vdot(psi, psi).real == pytest.approx(expected, rel=0.03)


def test_the_density_has_mean_zero_and_sits_on_the_lattice(sample):
    density = sample.fields["density"].values[0]
    assert density.mean(dtype=np.float64) == pytest.approx(0.0, abs=1e-6)
    assert density.min() >= -1.0
    linear = nbody(0, mesh=16, box_size=400.0, redshift=1.0, density=True).fields
    psi = linear["input"].values
    divergence = sum(np.roll(psi[i], -1, i) - np.roll(psi[i], 1, i) for i in range(3)).ravel()
    shifts = [np.roll(linear["density"].values[0], s, (0, 1, 2)).ravel() for s in (-1, 0, 1)]
    correlations = [-np.corrcoef(divergence, shifted)[0, 1] for shifted in shifts]
    assert correlations[1] > 0.6
    assert correlations[0] == pytest.approx(correlations[2], abs=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mesh": 3}, "mesh: 3; expected at least 4"),
        ({"redshift": -0.5}, "redshift: -0.5; expected 0 or more"),
        ({"omega_b": 0.4}, "omega_b: 0.4; expected less than omega_m"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        nbody(2, **{**SMALL, **options})


def test_the_registry_knows_every_option_and_its_text():
    entry = registry.find("simulation", "nbody")
    assert set(entry.options) == set(entry.texts) == set(inspect.signature(nbody).parameters) - {"sample"}
    defaults = registry.check("simulation", "nbody", {})
    assert (defaults["mesh"], defaults["box_size"], defaults["steps"]) == (32, 100.0, 8)
    assert registry.load("simulation", "nbody") is nbody


def test_the_file_holds_all(sample, tmp_path):
    path = tmp_path / "fields" / "0002.h5"
    write(path, sample)
    with h5py.File(path) as file:
        assert set(file) == set(sample.fields)
        for name, field in sample.fields.items():
            np.testing.assert_array_equal(file[name][()], field.values)
            assert (file[name].attrs["quantity"], file[name].attrs["unit"]) == (field.quantity, field.unit)
            assert file[name].chunks is None
            offset = file[name].id.get_offset()
            mapped = np.memmap(path, np.dtype("<f4"), "r", offset, field.values.shape)
            np.testing.assert_array_equal(mapped, field.values)
        attributes = dict(file.attrs)
    np.testing.assert_array_equal(attributes.pop("box_size"), [50.0, 50.0, 50.0])
    assert "nbody" in attributes.pop("source")
    assert attributes == {
        "redshift": 0.0, "omega_m": 0.3175, "omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834,
        "seed": 7, "sample": 2, "mesh": 16, "steps": 3, "periodic": True, "complete": 1,
    }  # fmt: skip
    assert [entry.name for entry in path.parent.iterdir()] == ["0002.h5"]


def test_equal_samples_are_equal_files(sample, tmp_path):
    write(tmp_path / "a.h5", sample)
    simulate({"kind": "nbody", "samples": 5, **SMALL, "velocity": True, "density": True}, 2, tmp_path / "b.h5")
    assert digest(tmp_path / "a.h5") == digest(tmp_path / "b.h5")


def test_a_failed_write_leaves_the_earlier_file(sample, tmp_path):
    path = tmp_path / "sample.h5"
    write(path, sample)
    before = digest(path)
    bad = Simulated({"input": SimulatedField(np.array(["text"]), "scalar", "1")}, {})
    with pytest.raises(ValueError, match="could not convert"):
        write(path, bad)
    assert digest(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["sample.h5"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write(tmp_path / "file" / "sample.h5", sample)
