"""Faults of map2map that no other test holds: paths, alignment, whole samples in pictures, the plateau, Slurm."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from m2m_core.data.catalogue import Catalogue
from m2m_core.data.sources import npy
from m2m_core.tasks.protocol import build
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study
from tests.training.toys import VALIDATION, Scored, column, train

torch.set_num_threads(1)


def test_a_comma_is_part_of_a_path(tmp_path):
    folder = tmp_path / "om=0.3,h=0.7"
    folder.mkdir()
    for name in ("in_1", "in_2", "out_1", "out_2"):
        np.save(folder / f"{name}.npy", np.zeros((1, 4, 4), "f4"))
    assert [s.id for s in npy(input=f"{folder}/in_*.npy", target=f"{folder}/out_*.npy")] == ["1", "2"]


@pytest.mark.parametrize("space, halo", [((24, 24), 8), ((24, 24, 24), 8)])
def test_input_and_target_stay_on_each_other_under_all_augmentation(tmp_path, space, halo):
    """map2map, flipping with more halo on one side than on the other: 170 of 200 samples were shifted."""
    d = len(space)
    catalogue = fields(
        tmp_path, 3, space, {"input": d, "target": d}, quantities={"input": "vector", "target": "vector"}
    )
    same = [replace(s, fields={"input": s.fields["input"], "target": s.fields["input"]}) for s in catalogue]
    model = {"name": "vnet", "width": 2, "depth": 1, "padding": "valid"}
    settings = experiment(model=model, normalize={"input": "identity", "target": "identity"}, crops={"size": 8})
    task = build(study(Catalogue(tuple(same)), settings))
    assert task.study.crops.halo == (halo,) * d
    examples, inside = task.samples().fit, (slice(None), *[slice(halo, -halo)] * d)
    seen = set()
    for n in range(100):
        source, target = task.item(examples[n % len(examples)], np.random.default_rng(n))
        assert np.array_equal(source[inside], target)
        seen.add(target.tobytes())
    assert len(seen) > 90


def test_pictures_are_of_whole_samples(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Tracker, "pictures", lambda self, step, fields, rows: drawn.append((fields, rows)))
    catalogue = fields(tmp_path, 6, (24, 24), {"input": 2, "target": 1})
    model = {"name": "unet", "width": 2, "depth": 1, "padding": "valid"}
    metrics = ["power_spectrum", "cross_correlation"]
    files = Files(tmp_path / "run", catalogue, model=model, crops={"size": 8}, evaluation=metrics)
    training(files, epochs=1)
    ((found, rows),) = drawn
    assert {name: field.shape for name, field in found.items()} == {
        "input": (2, 24, 24), "target": (1, 24, 24), "prediction": (1, 24, 24)
    }  # fmt: skip
    assert {"power", "power_truth", "transfer", "cross_correlation"} <= {metric for _, _, metric, *_ in rows}
    assert all(np.isfinite(field).all() for field in found.values())


def test_the_plateau_is_one_of_the_validation_score(tmp_path):
    """The training loss falls all the time."""
    train(tmp_path, Scored(*[1.0] * 6), epochs=6, validation=VALIDATION, schedule={"name": "plateau", "patience": 1})
    losses, rates = ([float(value) for value in column(tmp_path, name)] for name in ("loss", "lr"))
    assert losses[-1] < losses[0] and rates[0] == 0.1 > rates[-1]


def test_it_trains_without_slurm_and_without_a_gpu(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM", "CUDA", "WORLD", "RANK"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Tracker, "pictures", lambda *_: None)
    files = Files(tmp_path / "run", fields(tmp_path, 3, (8, 8)), training={"device": "auto", "validation": None})
    training(files, epochs=1)
    assert files.model.is_file()
