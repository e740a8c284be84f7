"""Weights & Biases offline: what is told, where its files are, one run over a kill, and no network."""

import json
import socket
import sys

import pytest
import torch

from m2m_core import config, door
from m2m_core.errors import ConfigError, Stopped
from m2m_core.training import tracking
from m2m_core.training.loop import fit
from m2m_core.training.trackers.wandb import PLACES, WeightsAndBiases
from m2m_core.training.tracking import Running
from tests.config.making import changed, small
from tests.training.toys import VALIDATION, Toy, settings, stop_at

IDENTITY = "1d3a5b7c9e0f2a4b"
WANDB = {"name": "wandb", "project": "toys", "entity": None, "mode": "offline"}
torch.set_num_threads(1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What would be asked if the network were; the current folder and the home directory are empty ones."""
    for name in ("home", "cwd"):
        (tmp_path / name).mkdir()
    for name in (*PLACES, "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")  # as it was, afterwards
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        server.setblocking(False)
        yield server


def train(tmp_path, cut=0):
    """A training in its folder, stopped after some updates or not; what it said of trackers."""
    folder, said = tmp_path / "results/experiments/vnet/fold-0/training" / IDENTITY, []
    chosen = settings(validation=VALIDATION) | {"tracking": [WANDB]}
    if cut:
        with pytest.raises(Stopped):
            fit(Toy(validate=3), chosen, folder, IDENTITY, stop_at(cut), said.append)
    else:
        fit(Toy(validate=3), chosen, folder, IDENTITY, None, said.append)
    return folder, [line for line in said if "wandb" in line]


def records(folder):
    """(step, name, value) of all that is in the files of the runs, part by part, and the run as it was begun."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    runs, told = [], []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        store = DataStore()
        store.open_for_scan(str(path))
        told.append([])
        while data := store.scan_data():
            record = Record.FromString(data)
            if record.HasField("run"):
                runs.append(record.run)
            for item in record.history.item if record.HasField("history") else []:
                name = item.key or ".".join(item.nested_key)
                told[-1].append((record.history.step.num, name, json.loads(item.value_json)))
    return runs, told


def test_a_stopped_training_is_one_run_and_all_its_files_are_in_its_folder(tmp_path, server, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setattr(tracking, "FIRST", 0.0)
    folder, first = train(tmp_path, cut=5)
    folder, second = train(tmp_path)
    assert first == second == []
    runs, (before, after) = records(folder)
    assert {(r.run_id, r.project, r.display_name) for r in runs} == {(IDENTITY, "toys", "vnet fold-0")}
    told = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in runs[0].config.update}
    assert told["training.batch_size"] == 2 and told["schedule.name"] == "constant"
    assert [step for step, name, _ in before + after if name == "loss"] == [3, 6, 9, 12]
    names = {name.split(".")[0] for _, name, _ in after}
    assert {"validation", "lr", "gradient", "samples_per_second", "memory_MiB", "slices", "field/power"} <= names
    pictures = [value for _, name, value in after if name == "slices.path"]
    assert pictures and all(list(folder.glob(f"wandb/offline-run-*/files/{path}")) for path in pictures)
    assert not [*(tmp_path / "home").rglob("*wandb*"), *(tmp_path / "cwd").iterdir()]
    with pytest.raises(BlockingIOError):  # nobody has called
        server.accept()


def test_disabled_imports_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = WeightsAndBiases(Running(tmp_path, 1, IDENTITY, {}), mode="disabled")
    tracker.scalars(1, {"loss": 1.0})
    tracker.images(1, {})
    tracker.close()
    with pytest.raises(ImportError):
        WeightsAndBiases(Running(tmp_path, 1, IDENTITY, {}))


def test_a_package_that_is_gone_stops_no_training(tmp_path, monkeypatch, server):
    monkeypatch.setitem(sys.modules, "wandb", None)
    _, said = train(tmp_path)
    assert len(said) == 1 and said[0].startswith("wandb: ") and said[0].endswith("; the training goes on without it")


@pytest.mark.parametrize("mode, refused", [("offline", True), ("online", True), ("disabled", False)])
def test_a_missing_package_is_named_at_the_door(monkeypatch, mode, refused):
    monkeypatch.setattr(door, "find_spec", lambda name: None)
    raw = changed("experiments/vnet/tracking", ["tensorboard", {"name": "wandb", "mode": mode}])
    if refused:
        text = "experiments.vnet.tracking.1: the package wandb is not installed; expected `pip install wandb`"
        with pytest.raises(ConfigError, match=text):
            door.check(config.parse(raw))
    else:
        door.check(config.parse(raw))
    door.check(config.parse(small()))
