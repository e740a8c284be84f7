"""What TensorBoard shows of a training: every promised curve, pictures, and no steps twice after a resume."""

import os
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from m2m_core.errors import Stopped
from m2m_core.training import tracking
from m2m_core.training.tracking import Tracker
from tests.training.toys import Toy, train

CURVES = {"loss", "validation", "lr", "samples_per_second", "memory_MiB"}
VALIDATION = {"fraction": 0.1, "every": 1, "patience": None}
torch.set_num_threads(1)


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


@pytest.fixture
def in_no_time(monkeypatch):
    """As if drawing took none."""
    monkeypatch.setattr(tracking, "FIRST", 0.0)
    monkeypatch.setattr(tracking, "SHARE", 1e9)


def test_the_promised_tags(tmp_path, in_no_time):
    train(tmp_path, Toy(validate=3), validation=VALIDATION)
    found = events(tmp_path / "tensorboard")
    assert set(found.Tags()["scalars"]) == CURVES
    assert set(found.Tags()["images"]) == {"prediction", "field/power"}
    assert [event.step for event in found.Scalars("loss")] == [3, 6, 9, 12]
    assert [event.step for event in found.Images("prediction")] == [3, 6, 9, 12]
    assert all(event.value > 0 for name in ("lr", "samples_per_second", "memory_MiB") for event in found.Scalars(name))


def test_the_curves_are_those_of_the_history(tmp_path):
    train(tmp_path, Toy(validate=3), validation=VALIDATION | {"every": 2})
    found = events(tmp_path / "tensorboard")
    head, *lines = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    for name in ("loss", "validation", "lr"):
        written = [float(line[head.index(name)]) for line in lines if line[head.index(name)]]
        assert [event.value for event in found.Scalars(name)] == pytest.approx(written)


@pytest.mark.parametrize("cut, saved", [(7, True), (2, False)])
def test_a_resumed_run_shows_no_step_twice(tmp_path, cut, saved):
    def stop(step, *_):
        if step == cut:
            if not saved:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)

    def early(step, *_):  # the row of step 3 is written, but no checkpoint
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises((Stopped, KeyboardInterrupt)):
        train(tmp_path, on_step=stop if saved else early, save_steps=None)
    train(tmp_path)
    assert [event.step for event in events(tmp_path / "tensorboard").Scalars("loss")] == [3, 6, 9, 12]


@pytest.mark.parametrize("every, epochs, pictures", [(1, 20, 4), (3, 9, 3), (4, 100, 4)])
def test_there_are_few_pictures(tmp_path, every, epochs, pictures, monkeypatch, in_no_time):
    seen = []
    monkeypatch.setattr(Tracker, "pictures", lambda self, step, *rest: seen.append(step))
    train(tmp_path, Toy(fit=2, validate=1), epochs=epochs, validation=VALIDATION | {"every": every})
    assert len(seen) == pictures


def test_a_short_training_is_drawn_at_its_end_alone(tmp_path):
    train(tmp_path, Toy(validate=3), validation=VALIDATION)
    assert [event.step for event in events(tmp_path / "tensorboard").Images("prediction")] == [12]


def test_pictures_take_a_twentieth_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: now[0])
    pace = tracking.Pace()
    now[0] = tracking.FIRST
    assert pace.allows
    with pace.working():
        now[0] += 3.0
    now[0] += 59.0
    assert not pace.allows
    now[0] += 1.0
    assert pace.allows


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 6), (1, 4, 5, 6)])
def test_fields_of_any_dimension_are_drawn(tmp_path, shape):
    tracker = Tracker(tmp_path, 1)
    field = np.random.default_rng(0).standard_normal(shape, "f4")
    tracker.pictures(1, field, [("emulator", "field", "pdf", -1.0, 0.5), ("input", "field", "pdf", 1.0, 0.0)])
    tracker.pictures(2, np.zeros(shape, "f4"), [])
    tracker.close()
    assert [event.step for event in events(tmp_path).Images("prediction")] == [1, 2]
