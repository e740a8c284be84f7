"""The training stage: model, history, record; and which trainings are the same one."""

import json
import os
import signal
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from m2m_core.errors import DataError, Stopped
from m2m_core.files import digest
from m2m_core.training.loop import Loop
from m2m_core.training.stage import identity_of
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(Tracker, "pictures", lambda *_: None)


def test_model_history_and_record(tmp_path):
    files = Files(tmp_path / "run", fields(tmp_path))
    result = training(files)
    record = json.loads(files.record.read_text())
    assert record["sha256"] == digest(files.model) and record["steps"] == 6 and record["fold"] == 0
    assert record["parameters"] == sum(v.numel() for v in safetensors.torch.load_file(files.model).values())
    assert result == f"6 steps, best score {record['best_score']:.4g} at step {record['best_step']}"
    assert files.said[0].startswith("1,490 parameters on cpu (1 thread); 3 examples, 1 for validation; 6 steps")
    rows = files.history.read_text().splitlines()
    assert rows[0] == "step,epoch,loss,validation,lr,samples_per_second,seconds,attempt" and len(rows) == 4
    assert {"python", "torch", "numpy", "m2m_core"} <= set(record["versions"]) and record["seconds"] > 0


def test_a_second_time_nothing_is_left_to_do(tmp_path):
    files = Files(tmp_path / "run", fields(tmp_path))
    training(files)
    first = files.model.read_bytes(), files.history.read_bytes(), json.loads(files.record.read_text())
    assert training(files).endswith(", nothing left to do")
    assert (files.model.read_bytes(), files.history.read_bytes(), json.loads(files.record.read_text())) == first


def test_it_goes_on_after_a_stop(tmp_path, monkeypatch):
    files, whole = (Files(tmp_path / name, fields(tmp_path)) for name in ("cut", "whole"))
    training(whole)
    update = Loop._update

    def update_and_stop(loop, batch):
        update(loop, batch)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="step 1 of 6"):
        patch.setattr(Loop, "_update", update_and_stop)
        training(files)
    assert not files.model.exists()
    training(files, workers=1, save_steps=1)
    assert files.model.read_bytes() == whole.model.read_bytes()
    assert json.loads(files.record.read_text())["attempts"] == 2


def test_changed_files_are_refused_before_the_first_step(tmp_path):
    catalogue = fields(tmp_path)
    files = Files(tmp_path / "run", catalogue)
    path = catalogue.training(0)[0].parts("input")[0].file
    with open(path, "r+b") as stream:
        stream.seek(200)
        stream.write(b"\x00\x00\x00\x00")
    files.verify = "full"
    with pytest.raises(DataError, match="damaged"):
        training(files)
    assert not files.model.exists()


def identity(catalogue, fold=0, schedule=None, **training):
    settings = experiment(training=training, **({"schedule": schedule} if schedule else {}))
    return identity_of(settings, study(catalogue, settings, fold))


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_more_epochs_are_the_same_training(tmp_path, schedule):
    catalogue = fields(tmp_path)
    assert identity(catalogue, schedule=schedule) == identity(catalogue, schedule=schedule, epochs=9)


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 1}, {"augment": []}, {"ema": 0.9}, {"clip": 1.0}])
def test_other_settings_are_another_training(tmp_path, change):
    catalogue = fields(tmp_path)
    assert identity(catalogue) != identity(catalogue, **change)


def test_other_data_are_another_training(tmp_path):
    catalogue = fields(tmp_path)
    assert identity(catalogue) == identity(fields(tmp_path))
    assert identity(catalogue) != identity(catalogue, fold=1)
    held_out, trained = catalogue.held_out(0)[0], catalogue.training(0)[0]
    for changes in [{"redshift": 1.0}, {"group": "x"}, {"box_size": (9.0,) * 3}, {"omega_m": 0.2}]:
        assert identity(catalogue) == identity(_with(catalogue, replace(held_out, **changes)))
        assert identity(catalogue) != identity(_with(catalogue, replace(trained, **changes)))
    part = trained.parts("input")[0]
    for changes in [{"digest": "0" * 64}, {"quantity": "displacement"}]:
        changed = replace(trained, fields=trained.fields | {"input": (replace(part, **changes),)})
        assert identity(catalogue) != identity(_with(catalogue, changed))
    moved = replace(trained, fields=trained.fields | {"input": (replace(part, file="elsewhere.npy"),)})
    assert identity(catalogue) == identity(_with(catalogue, moved))


def _with(catalogue, sample):
    return type(catalogue)(tuple(sample if other.id == sample.id else other for other in catalogue))
