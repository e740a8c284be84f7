"""Emulators that are told the cosmology: outside of the house they give what inference gave, each sample its own."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from m2m_core.data.fields import Fields
from m2m_core.data.styles import Styles
from m2m_core.export.emulate import load
from m2m_core.export.styles import Styles as Twin
from tests.export.outside import made, model, numbers_of, outside

torch.set_num_threads(1)

ROWS = [(0.0, 0.2, 0.7), (0.5, 0.25, 0.72), (1.0, 0.3, 0.8), (0.0, 0.35, 0.85), (2.0, 0.4, 0.9), (0.3, 0.31, 0.95)]
STYLED = model("styled_vnet", hidden=2)
CASES = {
    "periodic 2-D, a number of its own": ((8, 8), {"model": STYLED,
                                                   "styles": {"sigma_8": {}, "growth": {}, "omega_m": {}}}),
    "valid 2-D in tiles": ((24, 26), {"model": model("styled_vnet", "valid"), "styles": {"growth": {"shift": 1.0}},
                                      "inference": {"tile": [12, 16]}}),
    "velocity by derivative": ((8, 8), {"model": model("displacement_velocity", blocks=1),
                                        "styles": {"omega_m": {"shift": 0.0, "spread": 1.0},
                                                   "growth": {"shift": 0.0, "spread": 1.0}},
                                        "channels": {"input": 2, "target": {"psi": 2, "v": 2}},
                                        "normalize": {"input": "displacement",
                                                      "target": {"psi": "displacement", "v": "velocity"}}}),
}  # fmt: skip


def styled(folder, space, **changes):
    """The files of a fold whose samples have cosmologies of their own."""
    lines = [f"{i},{z},{m},{s}" for i, (z, m, s) in enumerate(ROWS)]
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("\n".join(["id,redshift,omega_m,sigma_8", *lines]))
    return made(folder, space, {"parameters": str(folder / "table.csv")}, **changes)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    space, changes = CASES["periodic 2-D, a number of its own"]
    return styled(tmp_path_factory.mktemp("styled") / "in", space, **changes)


def each():
    """The cases; one differs from another but in its tiles."""
    for case in CASES:
        yield pytest.param(case, marks=[pytest.mark.long] if "tiles" in case else [])


@pytest.mark.parametrize("case", list(each()))
def test_outside_of_the_house_each_sample_has_its_own_style(files, tmp_path, case):
    space, changes = CASES[case]
    first = files if "own" in case else styled(tmp_path / "in", space, **changes)
    assert "of free size" in first.line
    found = outside(first, tmp_path / "out")
    assert len(found) == 2 and not np.array_equal(found[0][0], found[1][0])
    for fields, expected in found:
        np.testing.assert_allclose(fields, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_several_fields_at_once_are_those_one_by_one(files):
    emulate, about = load(files.emulator)
    samples = list(files.catalogue_read)[:3]
    fields = np.stack([Fields().whole(sample, "input") for sample in samples])
    told = [numbers_of(files, sample) for sample in samples]
    alone = torch.stack([emulate(field, **numbers) for field, numbers in zip(fields, told, strict=True)])
    several = emulate(fields, **{name: [numbers[name] for numbers in told] for name in told[0]})
    assert torch.equal(several, alone) and several.shape == (3, 3, 8, 8)
    assert torch.equal(emulate(fields[:1], **told[0]), alone[:1])
    array = np.array([numbers["sigma_8"] for numbers in told])
    one = {"redshift": 0.0, "omega_m": torch.tensor(0.3)}
    assert torch.equal(emulate(fields, **one, sigma_8=array)[2], emulate(fields[2], **one, sigma_8=told[2]["sigma_8"]))
    with pytest.raises(ValueError, match="2 numbers for 3 fields; expected one for all or one for each"):
        emulate(fields, redshift=[0.0, 1.0], omega_m=0.3, sigma_8=0.8)


def test_the_style_has_its_say_and_must_be_told(files):
    emulate, about = load(files.emulator)
    field = Fields().whole(files.catalogue_read.samples[0], "input")
    known = {"redshift": 0.0, "omega_m": 0.3, "sigma_8": 0.8}
    first = emulate(field, **known)
    assert all((emulate(field, **{**known, name: 0.5}) - first).abs().max() > 1e-6 for name in known)
    with pytest.raises(
        ValueError, match=r"got \['omega_m', 'redshift'\]; expected redshift, omega_m and sigma_8 of the field"
    ):
        emulate(field, redshift=0.0, omega_m=0.3)
    assert about["numbers"] == ["sigma_8"] and about["defaults"] == {}
    assert about["trained_on"]["sigma_8"] == sorted(about["trained_on"]["sigma_8"])
    with zipfile.ZipFile(files.emulator) as file:
        assert json.loads(file.read("archive/extra/about.json"))["numbers"] == ["sigma_8"]


@pytest.mark.parametrize("own", [{}, {"growth": 0.123}])
def test_the_twin_tells_the_same(files, own):
    samples = [replace(s, parameters={**s.parameters, **own}) for s in files.catalogue_read]
    of_house = Styles(dict.fromkeys(["growth", "sigma_8", "redshift"], {}), samples)
    twin = Twin(of_house, samples[0].parameters)
    assert twin.own == (["growth", "sigma_8"] if own else ["sigma_8"])
    for sample in samples:
        physics = [torch.tensor(x, dtype=torch.float64) for x in (sample.redshift, sample.omega_m)]
        numbers = torch.tensor([sample.parameters[name] for name in twin.own], dtype=torch.float64)
        np.testing.assert_allclose(twin(*physics, numbers)[0], of_house.of(sample), rtol=1e-6)
