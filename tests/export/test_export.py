"""The exported file gives, where there is no m2m_core, the fields that inference gave; and it refuses others."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from m2m_core import CITATION, config, registry, yamlfile
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.fields import Fields
from m2m_core.data.normalize import Normalizer, normalizer
from m2m_core.data.transforms import transform
from m2m_core.errors import ConfigError, RunError
from m2m_core.export import stage
from m2m_core.export.emulate import load
from m2m_core.export.normalize import Linear, Normal, normal
from m2m_core.export.program import Exportable, save
from m2m_core.files import digest
from m2m_core.models.weights import load_weights
from m2m_core.physics.cosmology import growth, growth_rate, hubble
from m2m_core.stages import Stages
from m2m_core.tasks.protocol import build
from m2m_core.tasks.study import read_study
from tests.config.making import small
from tests.export.outside import exported, made, model, outside

torch.set_num_threads(1)

DISPLACED = {"quantities": {"input": "displacement", "target": "displacement"}, "redshift": 1.0, "omega_m": 0.25}


BOTH, LOG = ("input", "target"), {"transform": "log1p", "scaling": "identity"}
CASES = {
    "vnet periodic 3-D": ((8, 8, 8), {}),
    "unet valid 3-D in tiles": ((24, 26, 28), {"model": model("unet", "valid"), "inference": {"tile": [24, 16, 12]}}),
    "vnet zero 3-D in tiles, sees more than it needs": ((12, 12, 12), {"model": model(padding="zero"),
        "normalize": {"input": "minmax"}, "crops": {"size": 6, "halo": [[1, 3], 2, 0]}}),
    "unet periodic 2-D, batches": ((16, 16), {"model": model("unet", depth=2, normalization="batch"),
                                              "crops": {"size": 16}, "channels": {"input": 2, "target": 1}}),
    "vnet valid 2-D, two levels, not periodic": ((24, 24), {"model": model(padding="valid", depth=2),
                                                            "source": {"periodic": False}}),
    "vnet periodic 2-D of two parts": ((8, 8), {"channels": {"input": {"psi": 2, "rho": 1}, "target": 3},
        "normalize": {"input": {"psi": "velocity", "rho": {"transform": ["expm1", "log1p"]}}, "target": "expm1"}}),
    "unet zero 2-D in blended tiles, half open": ((12, 22), {"model": model("unet", "zero"),
        "source": {"periodic": [False, True]}, "inference": {"tile": [8, 8], "overlap": [2, 4]}}),
    "generator 2-D, finer by noise, in blended tiles": ((8, 10), {
        "model": {"name": "stylegan2_generator", "scale": 2, "width": 4}, "source": {"scale": 2},
        "crops": {"size": 4}, "inference": {"tile": [4, 4], "overlap": [2, 1], "seed": 3}}),
}  # fmt: skip
MORE = ("unet valid 3-D in tiles", "unet periodic 2-D, batches", "vnet valid 2-D, two levels, not periodic")


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.long] if c in MORE else []) for c in CASES])
def test_outside_of_the_house_it_gives_the_predictions_of_the_house(tmp_path, case):
    space, changes = CASES[case]
    files = made(tmp_path / "in", space, **changes)
    assert "of free size" in files.line
    for found, expected in outside(files, tmp_path / "out"):
        assert found.dtype == np.float32
        if "parts" in case:  # exponentials of torch and of NumPy differ in the last digit
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        else:
            assert np.array_equal(found, expected)


# ---- one emulator of displacements


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made(
        tmp_path_factory.mktemp("displacement"), (8, 8), {**DISPLACED, "box_size": 16.0},
        channels={"input": 2, "target": 2}, normalize=dict.fromkeys(BOTH, "displacement"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def loaded(files):
    return load(files.emulator)


@pytest.fixture
def sample(files):
    return files.catalogue_read.held_out(1)[0]


def by_task(files, sample):
    """What the task predicts for a sample."""
    task = build(read_study(files.experiment, files, files.fold))
    load_weights(files.model, task.modules, json.loads(files.record.read_text())["sha256"])
    task.modules["model"].eval()
    with torch.no_grad():
        return task.predict(sample).whole()


def test_the_scaling_follows_the_redshift_and_the_matter_density_that_are_given(files, loaded, sample, tmp_path):
    for found, expected in outside(files, tmp_path / "out"):
        assert np.array_equal(found, expected)
    emulate, _ = loaded
    field = Fields().whole(sample, "input")
    assert np.array_equal(emulate(field), by_task(files, sample))  # those of the training samples
    fields = [emulate(field, redshift=z, omega_m=om).numpy() for z, om in ((0.0, 0.25), (3.0, 0.25), (0.0, 0.4))]
    assert np.abs(fields[0] - fields[1]).max() > 1e-3 < np.abs(fields[1] - fields[2]).max()
    for found, (z, om) in zip(fields, ((0.0, 0.25), (3.0, 0.25), (0.0, 0.4)), strict=True):
        np.testing.assert_array_equal(found, by_task(files, replace(sample, redshift=z, omega_m=om)))


def test_a_larger_box_in_tiles_or_whole(loaded):
    emulate, about = loaded
    assert about["free"] and about["size"]["whole"]
    assert emulate(torch.zeros(2, 12, 20)).shape == (2, 12, 20)


def test_what_is_known_of_it_can_be_read_without_running_it(files, loaded):
    with zipfile.ZipFile(files.emulator) as file:
        about = json.loads(file.read("archive/extra/about.json"))
    assert about == loaded[1] and about["cite"] == CITATION
    assert about["input"]["quantities"] == [{"quantity": "displacement", "channels": 2, "unit": "Mpc/h"}]
    assert about["target"]["normalize"]["scaling"] == "displacement"
    assert about["defaults"] == {"redshift": 1.0, "omega_m": 0.25}
    assert about["trained_on"]["boxes"] == [{"box_size": [16.0, 16.0], "voxels": [8, 8], "cell": [2.0, 2.0]}]
    assert about["size"]["multiple_of"] == 2 and about["size"]["halo"] == 0 and about["periodic"] is True
    record = json.loads(files.record.read_text())
    assert about["training"]["sha256"] == record["sha256"] == digest(files.model)
    assert about["config"]["model"] == record["settings"]["model"]


def test_it_holds_no_pickle_and_no_path_of_this_machine(files):
    with zipfile.ZipFile(files.emulator) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    assert len(contents) > 10
    for name, data in contents.items():
        assert not data.startswith((b"\x80", b"PK")), name
        assert b'"use_pickle": true' not in data and str(files.folder).encode() not in data and b'File \\"' not in data


def test_the_same_model_makes_the_same_bytes(files, tmp_path):
    exported(files, tmp_path / "again.pt2")
    assert (tmp_path / "again.pt2").read_bytes() == files.emulator.read_bytes()


@pytest.mark.parametrize(
    "shape, physics, complaint",
    [
        ((3, 8, 8), {}, r"shape \[3, 8, 8\]; expected 2 channels, then 2 axes"),
        ((2, 8, 8, 8), {}, "expected 2 channels, then 2 axes"),
        ((2, 8, 9), {}, r"tiles of \[8, 9\] in a field of \[8, 9\]; expected multiples of 2, at least 4"),
        ((2, 8, 2), {}, "expected multiples of 2, at least 4"),
        ((2, 8, 8), {"redshfit": 0.0}, "got .*'redshfit'.*; expected redshift and omega_m"),
    ],
)
def test_other_fields_are_refused(loaded, shape, physics, complaint):
    with pytest.raises(ValueError, match=complaint):
        loaded[0](torch.zeros(shape), **physics)


def test_tiles_of_a_network_that_closes_boxes_and_noise_where_there_is_none_are_refused(loaded):
    with pytest.raises(ValueError, match=r"tiles of \[4, 8\] in a field of \[8, 8\]; expected it whole"):
        loaded[0](torch.zeros(2, 8, 8), tile=[4, 8])
    with pytest.raises(ValueError, match="seed 3, but this network is told no noise; expected none"):
        loaded[0](torch.zeros(2, 8, 8), seed=3)


def test_a_damaged_file_is_named(files, tmp_path):
    data = bytearray(files.emulator.read_bytes())
    with zipfile.ZipFile(files.emulator) as file:
        largest = max(file.infolist(), key=lambda info: info.file_size)
    data[largest.header_offset + largest.file_size // 2] ^= 1
    (tmp_path / "emulator.pt2").write_bytes(data)
    with pytest.raises(ValueError, match=f"emulator.pt2: {largest.filename} is damaged"):
        load(tmp_path / "emulator.pt2")


def test_it_moves_to_another_device_whole(files):
    emulate, _ = load(files.emulator, "meta")
    assert emulate(torch.zeros(2, 8, 8, device="meta")).device.type == "meta"


def test_other_weights_than_training_wrote_are_refused(files, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(files.model.read_bytes()[:-1] + b"?")
    changed = type("Changed", (), {**files.__dict__, "model": tmp_path / "model.safetensors", "job": files.job})
    with pytest.raises(RunError, match="the file has changed"):
        exported(changed, tmp_path / "emulator.pt2")
    assert not (tmp_path / "emulator.pt2").exists()


def test_samples_of_several_redshifts_leave_no_default(files, tmp_path):
    catalogue = files.catalogue_read
    several = Catalogue(tuple(replace(s, redshift=float(n)) for n, s in enumerate(catalogue)))
    study = replace(read_study(files.experiment, files, 1), catalogue=several)
    record = json.loads(files.record.read_text())
    assert stage._about({"experiment": "e"}, record, study)["defaults"] == {"omega_m": 0.25}


# ---- normalisations


PHYSICS = [torch.tensor(x, dtype=torch.float64) for x in (0.7, 0.31)]


@given(omega_m=st.floats(0.1, 1.0), redshift=st.floats(0.0, 200.0))
def test_growth_is_that_of_the_cosmology(omega_m, redshift):
    numbers = (torch.tensor(x, dtype=torch.float64) for x in (redshift, omega_m))
    assert float(Linear().growth(*numbers)) == pytest.approx(float(growth(redshift, omega_m)), rel=1e-13)


@given(omega_m=st.floats(0.1, 1.0), redshift=st.floats(0.0, 200.0))
def test_velocities_are_those_of_the_scaling(omega_m, redshift):
    numbers = (torch.tensor(x, dtype=torch.float64) for x in (redshift, omega_m))
    expected = float(hubble(redshift, omega_m) * growth(redshift, omega_m) * growth_rate(redshift, omega_m))
    assert float(Linear().velocity(*numbers)) == pytest.approx(expected / (1 + redshift), rel=1e-10)


STATISTICS = {"mean": [0.1, 0.2], "std": [1.5, 2.5], "min": [-0.5, -0.25], "max": [3.0, 4.0],
              "quantiles": {"0.25": [0.5, 0.4], "0.5": [1.0, 0.9], "0.75": [2.0, 2.5]}}  # fmt: skip
CHAINS = [*sorted(registry.entries("transform")), ["log", "expm1", "log1p"]]


def twins(chosen, sample, channels=(2,)):
    """A normalisation and its twin on the same numbers: (there, there, back, x)."""
    normal_of_house = normalizer(chosen, STATISTICS, channels, "input")
    twin = normal(chosen, normal_of_house, [sample])
    x = np.random.default_rng(0).uniform(0.1, 3.0, (2, 6, 6)).astype("f4")
    physics = [torch.tensor(x, dtype=torch.float64) for x in (sample.redshift, sample.omega_m)]
    there = twin(torch.from_numpy(x), *physics)
    return there, normal_of_house.forward(x.copy(), sample), twin.inverse(there, *physics), x


@pytest.mark.parametrize("transform", CHAINS, ids=str)
@pytest.mark.parametrize("scaling", sorted(registry.entries("scaling")))
def test_every_normalisation_has_a_twin(sample, transform, scaling):
    there, expected, back, x = twins({"transform": transform, "scaling": scaling}, sample)
    np.testing.assert_allclose(there, expected, rtol=5e-7, atol=5e-7)
    np.testing.assert_allclose(back, x, atol=1e-4 if scaling == "velocity" else 4e-6)  # 300 km/s times rounding


def test_options_and_parts_have_twins(sample):
    parts = {"a": {"transform": "log", "scaling": {"name": "displacement", "rms": 3.0}},
             "b": {"transform": "identity", "scaling": {"name": "velocity", "rms": 0.1}}}  # fmt: skip
    there, expected, back, x = twins(parts, sample, (1, 1))
    np.testing.assert_allclose(there, expected, rtol=5e-7, atol=5e-7)
    np.testing.assert_allclose(back, x, rtol=1e-5)
    plain = {name: {**part, "scaling": part["scaling"]["name"]} for name, part in parts.items()}
    np.testing.assert_allclose(there[0] / twins(plain, sample, (1, 1))[0][0], 2.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "expm1"])
def test_twins_undo_what_is_beyond_the_range(name):
    x = np.array([-7.0, 0.5, np.inf], "f4")
    found = registry.load("torch_transform", name)().inverse(torch.from_numpy(x))
    np.testing.assert_allclose(found, transform(name).inverse(x.copy()), rtol=1e-6)


class BySample:
    """A scaling of somebody's own."""

    def __init__(self, spread):
        self.spread = spread

    def constants(self, sample):
        return np.zeros(1, "f4"), np.array([self.spread(sample)], "f4")


def test_a_scaling_of_a_plugin_is_exported_if_it_is_the_same_for_all_samples(sample):
    normalizer = Normalizer("identity", "identity")
    samples = [sample, replace(sample, redshift=0.0)]
    normalizer.scaling = BySample(lambda sample: 2.0)
    assert float(Normal("identity", "mine", normalizer, samples)(torch.ones(1, 1), *PHYSICS)) == 0.5
    normalizer.scaling = BySample(lambda sample: 1.0 + sample.redshift)
    with pytest.raises(ConfigError, match="'mine' depends on the sample; expected @register"):
        Normal("identity", "mine", normalizer, samples)


# ---- networks of other people


class Fixed(torch.nn.Module):
    """A network that takes one size."""

    def forward(self, x):
        return x * torch.ones(6, 6) if x.shape[-1] == 6 else x.flip(int(x.shape[-1]))


def example(edges):
    return (torch.ones(1, *edges),)


def test_a_network_of_one_size_is_exported_with_that_size(tmp_path):
    shapes = ({1: torch.export.Dim("n"), 2: torch.export.Dim("m")},)
    size, free = save(tmp_path / "e.pt2", Exportable(Fixed(), example, [[8, 10]], shapes, [6, 6], {}), {})
    assert not free and size == (tmp_path / "e.pt2").stat().st_size
    with zipfile.ZipFile(tmp_path / "e.pt2") as file:
        assert json.loads(file.read("archive/extra/about.json")) == {"free": False}


def test_a_network_that_torch_cannot_export_is_refused_in_one_line(tmp_path):
    class Reads(torch.nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    with pytest.raises(RunError, match="cannot be exported by torch") as error:
        save(tmp_path / "e.pt2", Exportable(Reads(), example, [[6, 6]], (None,), [6, 6], {}), {})
    assert "\n" not in str(error.value) and not (tmp_path / "e.pt2").exists()


def test_a_program_that_gives_other_numbers_is_not_published(tmp_path, monkeypatch):
    class Drifts(torch.nn.Module):
        calls = 0

        def forward(self, x):
            Drifts.calls += 1
            return x * Drifts.calls

    with pytest.raises(RunError, match="differs from the model"):
        save(tmp_path / "e.pt2", Exportable(Drifts(), example, [[6, 6]], (None,), [6, 6], {}), {})
    assert not list(tmp_path.iterdir())


# ---- the config


PLUGIN = """from m2m_core.registry import register

@register("task", "mine")
class Mine:
    pass
"""


def test_a_task_without_an_export_is_refused_with_the_key(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    raw = small() | {"plugins": [str(tmp_path / "mine.py")]}
    raw["experiments"]["other"] = {**raw["experiments"]["vnet"], "task": "mine"}
    try:
        stages = Stages(config.parse(raw))
        assert stages.export("vnet")["task"] == "field_to_field"
        with pytest.raises(ConfigError, match="experiments.other.task: it has no exported form: unknown export 'mine'"):
            stages.export("other")
    finally:
        registry.use_plugins([])


def test_the_citation_is_that_of_the_file():
    known = yamlfile.read(Path(__file__).parents[2] / "CITATION.cff")
    assert all(word in CITATION for word in (known["title"], known["authors"][0]["name"], known["version"]))
