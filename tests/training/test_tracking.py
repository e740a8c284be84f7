"""What TensorBoard shows of a training: every promised curve, pictures, and no steps twice after a resume."""

import os
import signal
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from m2m_core.errors import Stopped
from m2m_core.training import pictures, tracking, watching
from m2m_core.training.loop import fit
from m2m_core.training.recording import Recorder
from m2m_core.training.tracking import Running, Tracker
from tests.training.toys import Scored, Toy, same, settings, train, weights

CURVES = {"loss", "validation", "lr", "gradient", "samples_per_second", "memory_MiB"}
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
    assert set(found.Tags()["images"]) == {"slices", "field/power"}
    assert [event.step for event in found.Scalars("loss")] == [3, 6, 9, 12]
    assert [event.step for event in found.Images("slices")] == [3, 6, 9, 12]
    assert all(event.value > 0 for name in ("lr", "samples_per_second", "memory_MiB") for event in found.Scalars(name))


def test_the_rate_of_a_row_is_that_of_its_updates_whatever_is_measured_and_drawn(tmp_path, in_no_time, monkeypatch):
    monkeypatch.setattr(watching.Watching, "look", lambda *_: time.sleep(0.3))
    train(tmp_path, Toy(validate=3), validation=VALIDATION)
    rates = [event.value for event in events(tmp_path / "tensorboard").Scalars("samples_per_second")]
    assert min(rates) > 6 / 0.3  # six examples an epoch


def test_examples_of_a_short_batch_are_counted_once(tmp_path, monkeypatch):
    counted, take = [], Recorder.take
    monkeypatch.setattr(Recorder, "take", lambda *known: counted.append(known[2]) or take(*known))
    train(tmp_path, Toy(6), epochs=2, batch_size=4)
    assert counted == [4, 2, 4, 2]


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


@pytest.mark.parametrize("every, epochs, pictures", [(1, 20, 20), (3, 9, 3), (4, 10, 2), (2, 99, 4)])
def test_every_measurement_of_not_too_many_is_drawn_where_there_is_time(
    tmp_path, every, epochs, pictures, monkeypatch, in_no_time
):
    seen = []
    monkeypatch.setattr(watching, "PICTURES", 4 if epochs == 99 else watching.PICTURES)
    monkeypatch.setattr(Tracker, "pictures", lambda self, step, *rest: seen.append(step))
    train(tmp_path, Toy(fit=2, validate=1), epochs=epochs, validation=VALIDATION | {"every": every})
    assert len(seen) == pictures


def test_a_short_training_is_drawn_at_its_end_alone(tmp_path):
    train(tmp_path, Toy(validate=3), validation=VALIDATION)
    assert [event.step for event in events(tmp_path / "tensorboard").Images("slices")] == [12]


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


def test_the_gradient_is_that_of_the_last_update(tmp_path):
    task = Toy()
    train(tmp_path, task, epochs=1)
    norms = [p.grad.norm() for p in task.modules["model"].parameters()]
    (event,) = events(tmp_path / "tensorboard").Scalars("gradient")
    assert event.value == pytest.approx(float(torch.stack(norms).norm()))


def test_hyper_parameters_are_told(tmp_path):
    train(tmp_path, epochs=1)
    content = events(tmp_path / "tensorboard").PluginTagToContent("hparams")
    told = HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info.hparams
    assert told["training.batch_size"].number_value == 2 and told["schedule.name"].string_value == "constant"


# ---- pictures


FIELDS = {
    "zero": lambda shape: np.zeros(shape, "f4"),
    "nan": lambda shape: np.full(shape, np.nan, "f4"),
    "some infinite": lambda shape: np.where(np.arange(np.prod(shape)).reshape(shape) % 2, np.inf, 1.0).astype("f4"),
}
ROWS = [("emulator", "field", "power", 1.0, 0.5), ("emulator", "field", "power", 2.0, 0.0)]


SHAPES = [(3,), (2, 5), (2, 5, 6), (1, 4, 5, 6), (7, 2, 3, 2)]


@pytest.mark.parametrize(
    "kind, shape", [*(("nan", shape) for shape in SHAPES), *((kind, (2, 5, 6)) for kind in FIELDS)], ids=str
)
def test_any_field_is_drawn(kind, shape):
    field = FIELDS[kind](shape)
    fields = {"input": field[:1], "target": np.ones_like(field), "prediction": field}
    found = pictures.drawn(fields, [("emulator", "field", "power", 1.0, float(field.flat[0])), *ROWS])
    assert found.keys() == {"slices", "field/power"}
    assert all(image.dtype == np.uint8 and image.shape[-1] == 3 for image in found.values())


def test_a_residual_is_zero_where_a_prediction_is_right(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        pictures, "_panel", lambda axes, values, limits, signed: drawn.setdefault(signed, []).append((values, limits))
    )
    field = np.random.default_rng(0).standard_normal((2, 4, 6, 5), "f4")
    pictures.drawn({"input": field, "target": field, "prediction": field + np.float32(1.0)}, [])
    assert [values.shape for values, _ in drawn[False]] == [(6, 5)] * 6
    assert np.array_equal(drawn[False][0][0], field[0, 2])  # the middle
    (first, limits), _ = drawn[True]
    assert np.allclose(first, 1.0) and limits[0] == -limits[1]
    assert drawn[False][2][1] == drawn[False][4][1]  # the same colours for target and prediction


def test_spectra_of_prediction_and_target_are_in_one_figure():
    rows = [*ROWS, ("emulator", "field", "power_truth", 1.0, 0.7), ("emulator", "field", "modes", 1.0, 6.0)]
    assert pictures._curves(rows) == {"field/power": {"emulator": [(1.0, 0.5), (2.0, 0.0)], "target": [(1.0, 0.7)]}}


class Compared(Toy):
    """Shows fields beside its prediction."""

    field = np.zeros((2, 4, 4), "f4")

    def beside(self, sample):
        return {"input": self.field, "target": self.field}


class Blank(Compared):
    """As they make map2map lose an epoch."""

    field = np.full((2, 4, 4), np.nan, "f4")

    def evaluate(self, prediction, sample):
        return [("emulator", "field", "power", k, value) for k, value in ((1.0, 0.0), (2.0, np.nan), (3.0, -1.0))]


class Unable(Toy):
    """Cannot be judged."""

    def evaluate(self, prediction, sample):
        raise ValueError("math domain error\nof many lines")


@pytest.mark.parametrize("task", [Compared, Blank, Unable])
def test_no_picture_stops_a_training(tmp_path, task, in_no_time):
    said = []
    done = train(tmp_path, task(validate=3), validation=VALIDATION, say=said.append, epochs=2)
    assert done.finished and done.best.step
    failed = [line for line in said if "no pictures" in line]
    assert failed[:1] == (
        ["no pictures of step 3: ValueError: math domain error of many lines"] if task is Unable else []
    )


def test_drawing_changes_no_weight(tmp_path):
    drawn, plain = Compared(validate=3), Scored(1.0, 1.0)
    for task, name in ((drawn, "drawn"), (plain, "plain")):
        train(tmp_path / name, task, validation=VALIDATION, epochs=2)
    assert same(weights(drawn), weights(plain))


# ---- trackers


class Failing:
    """A tracker without a disk."""

    def __init__(self, running):
        self.running = running

    def scalars(self, step, values):
        raise OSError(28, "No space left on device")


def test_a_tracker_that_fails_is_left_out_with_a_line(tmp_path, monkeypatch):
    load = tracking.registry.load
    monkeypatch.setattr(tracking.registry, "load", lambda kind, name: Failing if name == "mine" else load(kind, name))
    said, running = [], Running(tmp_path, 1, "id", {})
    tracker = Tracker([{"name": "mine"}, {"name": "tensorboard"}], running, said.append)
    for step in (1, 2):
        tracker.scalars(step, {"loss": 1.0, "validation": None})
    tracker.close()
    assert said == ["mine: OSError: [Errno 28] No space left on device; the training goes on without it"]
    assert [event.step for event in events(tmp_path / "tensorboard").Scalars("loss")] == [1, 2]


def test_no_tracker_writes_the_history_alone(tmp_path):
    fit(Toy(), settings(epochs=1) | {"tracking": []}, tmp_path, "toy")
    assert {path.name for path in tmp_path.iterdir()} >= {"history.csv"} and not (tmp_path / "tensorboard").exists()


def test_settings_are_told_by_dotted_keys(tmp_path):
    chosen = {"model": {"name": "vnet", "width": 8}, "training": {"augment": ["flip"], "clip": None, "ema": {}}}
    running = Running(tmp_path / "vnet/fold-0/training/1d", 1, "1d", chosen | {"code": "c", "tracking": []})
    assert running.name == "vnet fold-0"
    assert running.flat == {"model.name": "vnet", "model.width": 8, "training.augment": '["flip"]',
                            "training.clip": "null", "training.ema": "{}"}  # fmt: skip
