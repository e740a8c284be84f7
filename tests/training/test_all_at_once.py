"""Nearly every feature of a training in one config: two processes, stopped and gone on, make the model of one."""

import csv
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from m2m_core.data.catalogue import Catalogue
from m2m_core.errors import Stopped
from m2m_core.tasks import examples
from m2m_core.tasks.protocol import build
from m2m_core.training.batches import Batches
from m2m_core.training.order import Order
from m2m_core.training.progress import Progress
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study

torch.set_num_threads(1)
EVERYTHING = {
    "normalize": {"input": "displacement", "target": "displacement"},
    "styles": {"omega_m": {}, "growth": {}},
    "model": {"name": "styled_vnet", "width": 2, "depth": 1, "padding": "periodic", "normalization": "batch"},
    "loss": [
        {"name": "lagrangian_eulerian", "weight": 0.5},
        {"name": "spectral", "weight": 0.1},
        {"name": "gradient", "weight": 0.1},
        "huber",
    ],
    "optimizer": {"name": "sgd", "lr": 1.0e-2, "momentum": 0.9, "groups": [{"match": "style", "lr": 1.0e-3}]},
    "schedule": {"name": "plateau", "patience": 1},
    "training": {
        "epochs": 2,
        "batch_size": 3,
        "accumulate": 2,
        "clip": 0.5,
        "ema": 0.9,
        "init_std": 0.1,
        "neighbourhood": 2,
        "augment_factor": 0.1,
        "augment_offset": 0.1,
        "validation": {"fraction": 0.25, "every": 1},
        "save_steps": 1,
        "checkpoint_activations": True,
    },
    "crops": {"size": 8},
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """Fifteen samples, each with a cosmology of its own; eight of a fold train, in steps of six and of two."""
    found = fields(tmp_path_factory.mktemp("fields"), 15, (8, 8), {"input": 2, "target": 2}, quantities={
        "input": "displacement", "target": "displacement"})  # fmt: skip
    told = [{"omega_m": 0.2 + 0.02 * n, "redshift": 0.1 * n} for n in range(15)]
    return Catalogue(tuple(replace(sample, **one) for sample, one in zip(found, told, strict=True)))


def trained(folder, catalogue, **setting):
    files = Files(folder, catalogue, **EVERYTHING)
    try:
        training(files, **setting)
    except Stopped:
        training(files, **setting)
    return files


def history(files):
    with open(files.history) as stream:
        rows = list(csv.DictReader(stream))
    private = ("seconds", "samples_per_second", "attempt")
    return {key: np.array([float(row[key] or "nan") for row in rows]) for key in rows[0] if key not in private}


def test_two_processes_stopped_and_gone_on_train_the_model_of_one(catalogue, tmp_path, monkeypatch):
    alone = trained(tmp_path / "alone", catalogue)
    seen = []

    def stop_once(self, step, *_):
        seen.append(step)
        if seen == [1, 2]:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "__call__", stop_once)
    two = trained(tmp_path / "two", catalogue, gpus=2)
    assert json.loads(two.record.read_text())["attempts"] == 2 and seen[-1] == 4
    found, expected = (safetensors.torch.load_file(files.model) for files in (two, alone))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6)
    rows = history(alone)
    terms = {f"loss/{term['name'] if isinstance(term, dict) else term}" for term in EVERYTHING["loss"]}
    assert {"loss", "gradient", "validation", "lr", *terms} <= rows.keys()
    for name, values in history(two).items():
        np.testing.assert_allclose(values, rows[name], rtol=1e-5, err_msg=name)


def test_processes_draw_augmentations_of_their_own_also_after_a_resume(catalogue, monkeypatch):
    """map2map restores the random numbers of the first process in all of them: 64 of 64 draws were the same."""
    drawn, draw = [], examples.draw
    monkeypatch.setattr(examples, "draw", lambda *known: drawn.append(draw(*known)) or drawn[-1])
    settings = experiment(**EVERYTHING)
    task = build(study(catalogue, settings))
    order = Order(len(task.samples().fit), 6, 0)

    def of_rank(rank, first):
        """What a process draws that begins with update number `first`."""
        batches = Batches(task, task.samples(), order, rank, 2, 2)
        drawn.clear()
        for step in range(first, 40):
            for key in batches.keys(step):
                batches.items(key)
        return list(drawn)

    whole, after = [of_rank(rank, 0) for rank in (0, 1)], [of_rank(rank, 8) for rank in (0, 1)]
    for own, again in zip(whole, after, strict=True):
        assert own[-len(again) :] == again and len(again) >= 16
    pairs = list(zip(*after, strict=False))
    assert sum(one == other for one, other in pairs) < len(pairs) / 4
