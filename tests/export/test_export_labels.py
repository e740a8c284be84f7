"""A network that tells labels, exported: where there is no m2m_core it tells what inference told."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from m2m_core import door, provenance
from m2m_core.config import parse
from m2m_core.data import predictions
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.fields import Fields
from m2m_core.export.stage import export
from m2m_core.export.tell import example, load
from m2m_core.inference.answers import told
from m2m_core.inference.stage import predict
from m2m_core.stages import Stages
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import labelled

torch.set_num_threads(1)

OUTSIDE = """
import json, sys
sys.path.insert(0, ".")
import numpy as np, torch
from tell import load
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    tell, about = load(folder + "/emulator.pt2")
    with np.load(folder + "/inputs.npz") as cubes:
        found = {name: tell(cubes[name]) for name in cubes.files}
    assert not [name for name in sys.modules if name.startswith(("m2m_core", "safetensors", "pydantic"))]
    print(json.dumps({name: {**answer, "slices": answer["slices"].tolist()} for name, answer in found.items()}))
"""
TASK = {"name": "field_to_label", "labels": ["gr"]}
THREE = {"gr": lambda n: float(n % 3)}
TWO = {"a": lambda n: n % 3 / 2, "b": lambda n: 0.1 * n}
CASES = {
    "binary, slices": ({"kind": "slices"}, TASK, None),
    "classes, whole cubes": ({"kind": "whole"}, {**TASK, "answer": "classes", "classes": 3}, THREE),
    "parameters, thick slices": (
        {"kind": "slices", "axes": [2, 0], "thickness": 3, "step": 1},
        {**TASK, "labels": ["a", "b"], "answer": "regression"},
        TWO,
    ),
}  # fmt: skip
LOSS = {"binary": "binary_cross_entropy", "classes": "categorical_cross_entropy", "regression": "gaussian_likelihood"}


def made(folder, crops, task, numbers):
    own = {"numbers": lambda n: {name: of(n) for name, of in numbers.items()}} if numbers else {}
    model = {"name": "penguin", "layer_param": 2}
    loss = LOSS[task.get("answer", "binary")]
    files = Files(folder / "run", labelled(folder, 6, **own), 1, task=task, crops=crops, model=model, loss=loss)
    training(files, epochs=1, batch_size=16)
    predict({"inference": files.experiment["inference"]}, files, str(files.predictions), 1, files.job)
    settings = {"task": "field_to_label", "experiment": "e", "inference": files.experiment["inference"]}
    files.line = export(
        {**settings, "meaning": {"gr": {"theory": "gr"}}}, files, str(folder / "emulator.pt2"), 1, files.job
    )
    samples = Catalogue.read(files.catalogue).held_out(1)
    np.savez(folder / "inputs.npz", **{sample.id: Fields().whole(sample, "input")[0] for sample in samples})
    return files


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Of each case its folder, its files, and what was told of the held-out samples elsewhere."""
    top = tmp_path_factory.mktemp("outside")
    files = [made(top / str(n), *CASES[case]) for n, case in enumerate(CASES)]
    with zipfile.ZipFile(top / "0/emulator.pt2") as file:
        (top / "tell.py").write_bytes(file.read("archive/extra/tell.py"))
    command = [sys.executable, "-I", "-c", OUTSIDE, *map(str, range(len(CASES)))]
    lines = subprocess.run(command, cwd=top, check=True, capture_output=True, text=True).stdout.splitlines()
    each = enumerate(zip(CASES, files, map(json.loads, lines), strict=True))
    return {case: (top / str(n), own, found) for n, (case, own, found) in each}


@pytest.mark.parametrize("case", sorted(CASES))
def test_outside_of_the_house_it_tells_what_inference_told(outside, case):
    folder, files, found = outside[case]
    _, task, _ = CASES[case]
    _, about = load(folder / "emulator.pt2")
    assert "batches of free size" in files.line and about["labels"] == task["labels"]
    assert about["meaning"] == {"gr": {"theory": "gr"}} and "from tell import load" in about["use"]
    for name, answer in found.items():
        place, values = np.split(predictions.read(files.predictions, name), [2])
        assert np.array_equal(np.array(answer.pop("places")).T, place)
        np.testing.assert_allclose(np.array(answer.pop("slices")).T, values, rtol=1e-5, atol=1e-6)
        whole = told(values.mean(1, keepdims=True)[None].astype(float), about["columns"], task["labels"])
        whole = {name: value[0] for name, value in whole.items() if name != "answer" and "spread" not in name}
        assert answer == pytest.approx(whole, rel=1e-5)


@pytest.fixture(scope="module")
def loaded(outside):
    return load(outside["binary, slices"][0] / "emulator.pt2")


def test_cubes_of_any_order_of_bytes_and_axes_are_taken(loaded):
    cube = np.random.default_rng(0).standard_normal((8, 8, 8)).astype("f4")
    assert loaded[0](cube.astype(">f8")[::-1])["slices"].equal(loaded[0](cube[::-1].copy())["slices"])


@pytest.mark.parametrize("shape, physics", [((1, 8, 8, 4), {}), ((2, 8, 8, 8), {}), ((8, 8, 8), {"sigma_8": 0.8})])
def test_other_cubes_and_numbers_are_refused(loaded, shape, physics):
    with pytest.raises(
        ValueError, match=r"a cube of .* with .*; expected \[1, 8, 8, 8\] with redshift and omega_m of it"
    ):
        loaded[0](np.zeros(shape, "f4"), **physics)


def test_thick_slices_go_around_the_box():
    cube = torch.arange(2 * 4**3.0).reshape(2, 4, 4, 4)
    assert torch.equal(example(cube, 1, 3, 2), torch.stack([cube[:, :, 3], cube[:, :, 0]], 1))
    assert torch.equal(example(cube, -1, 0, 1)[:, 0], cube)


def test_what_a_label_means_goes_with_the_network():
    source = {"kind": "cubes", "input": "a.h5", "dataset": "{theory}_{seed}", "labels": {"gr": {"theory": "gr"}}}
    experiment = {"dataset": "d", "task": TASK, "crops": {"kind": "slices"}, "model": "racoon"}
    stages = Stages(door.check(parse({"datasets": {"d": {"source": source}}, "experiments": {"e": experiment}})))
    assert "m2m_core.export.tell" in provenance.SEEN[stages.export("e")["code"]]
    assert stages.exported == ["e"] and stages.export("e")["meaning"] == {"gr": {"theory": "gr"}}
