"""The loop on a toy: what it keeps, when it stops, which weights are the model, and what it says."""

import copy
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from m2m_core.errors import Stopped
from m2m_core.training.batches import Batches, stream
from m2m_core.training.loop import Loop
from m2m_core.training.order import Order
from tests.tasks.studies import experiment
from tests.training.toys import VALIDATION, Scored, Toy, column, same, settings, stop_at, train, weights

torch.set_num_threads(1)


# ---- which examples


def test_randomness_differs_between_epochs_and_seeds():
    task = Toy(fit=1)
    drawn = [(0, 0), (0, 1), (1, 0)]
    noise = [Batches(task, task.samples(), Order(1, 1, seed))["fit", step][1].item() for seed, step in drawn]
    assert len(set(noise)) == 3


@pytest.mark.parametrize("setting", [{"workers": 2}, {"save_steps": 1}, {"save_steps": None}, {"save_minutes": 1e-9}])
def test_how_it_runs_does_not_change_a_bit(tmp_path, setting):
    common = {"validation": VALIDATION, "ema": 0.5}
    reference = train(tmp_path / "a", Toy(validate=3), save_steps=100, **common)
    other = train(tmp_path / "b", Toy(validate=3), **common | setting)
    assert same(weights(reference.task), weights(other.task))
    assert same(reference.weights()["model"], other.weights()["model"])
    assert column(tmp_path / "a", "validation") == column(tmp_path / "b", "validation")


def test_the_global_generators_have_no_say(tmp_path):
    torch.manual_seed(5)
    first = train(tmp_path / "a", Toy())
    torch.manual_seed(6)
    np.random.seed(7)
    assert same(weights(first.task), weights(train(tmp_path / "b", Toy()).task))


def test_the_largest_seed_is_allowed(tmp_path):
    train(tmp_path, seed=2**63 - 1)


# ---- stopping and going on


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 9, 11, 12])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_run_ends_where_an_uninterrupted_one_does(tmp_path, cut, number):
    common = {"validation": VALIDATION, "ema": 0.9, "save_steps": 5, "schedule": {"name": "plateau", "patience": 1}}
    reference = train(tmp_path / "whole", Scored(3.0, 4.0, 2.0, 5.0), **common)
    first = Scored(3.0, 4.0, 2.0, 5.0)
    if cut < 12:
        with pytest.raises(Stopped, match=f"step {cut} of 12"):
            train(tmp_path / "cut", first, on_step=stop_at(cut, number), **common)
        assert torch.load(tmp_path / "cut" / "last.pt", weights_only=True)["step"] == cut
    else:
        train(tmp_path / "cut", first, on_step=stop_at(cut, number), **common)
    second = train(tmp_path / "cut", Scored(*first.scores), **common)
    assert same(weights(reference.task), weights(second.task))
    assert same(reference.weights()["model"], second.weights()["model"])
    for name in ("step", "loss", "validation", "lr"):
        assert column(tmp_path / "cut", name) == column(tmp_path / "whole", name)


def test_signals_between_two_runs_are_not_ours(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_stop_while_validating_is_heeded_and_measured_later(tmp_path, epochs):
    common = {"validation": VALIDATION, "epochs": epochs, "batch_size": 2}
    reference = train(tmp_path / "whole", Toy(validate=9), **common)
    task = Toy(validate=9)
    measure, calls = task.measure, []

    def measure_and_stop(batch):
        calls.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        return measure(batch)

    task.measure = measure_and_stop
    with pytest.raises(Stopped, match="step 3"):
        train(tmp_path / "cut", task, **common)
    assert len(calls) == 1 and not (tmp_path / "cut" / "history.csv").exists()
    second = train(tmp_path / "cut", Toy(validate=9), **common)
    assert same(weights(reference.task), weights(second.task))
    assert second.best.score == reference.best.score
    for name in ("step", "loss", "validation"):
        assert column(tmp_path / "cut", name) == column(tmp_path / "whole", name)


def test_a_second_signal_while_saving_waits(tmp_path, monkeypatch):
    saved, original = [], Loop.save

    def save(loop):
        os.kill(os.getpid(), signal.SIGTERM)
        original(loop)
        saved.append(loop.step)

    monkeypatch.setattr(Loop, "save", save)
    with pytest.raises(Stopped):
        train(tmp_path, on_step=stop_at(2))
    assert saved == [2]


def test_a_finished_run_is_left_alone(tmp_path):
    train(tmp_path, Toy(validate=2), validation=VALIDATION)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}
    loop = train(tmp_path, Toy(validate=2), validation=VALIDATION)
    assert not loop.worked and loop.recorder.attempts == 1
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}


def test_more_epochs_continue_and_fewer_begin_anew(tmp_path):
    long = train(tmp_path / "long", epochs=6)
    train(tmp_path / "short", epochs=4)
    continued, told = [], []
    loop = train(tmp_path / "short", epochs=6, on_step=lambda step, *_: continued.append(step))
    assert continued == list(range(13, 19)) and same(weights(long.task), weights(loop.task))
    loop = train(tmp_path / "short", epochs=4, say=told.append)
    assert loop.step == 12 and "training anew" in told[0]
    assert same(weights(train(tmp_path / "other", epochs=4).task), weights(loop.task))
    assert column(tmp_path / "short", "step") == ["3", "6", "9", "12"]


# ---- which weights


def test_the_best_weights_are_the_model(tmp_path):
    seen = {}
    task = Scored(3.0, 2.0, 2.0, 2.5)
    loop = train(tmp_path, task, on_step=lambda step, *_: seen.update({step: weights(task)}), validation=VALIDATION)
    assert (loop.best.score, loop.best.step, loop.best.waited) == (2.0, 6, 2)
    assert same({f"model.{k}": v for k, v in loop.weights()["model"].items()}, seen[6])


def test_without_validation_the_last_weights_are_the_model(tmp_path):
    loop = train(tmp_path)
    assert same({f"model.{k}": v for k, v in loop.weights()["model"].items()}, weights(loop.task))


@pytest.mark.parametrize("every, patience, scores, stop", [(1, 2, (3.0, 1.0, 2.0, 1.0), 12), (1, 1, (2.0, 2.0), 6)])
def test_training_stops_early(tmp_path, every, patience, scores, stop):
    validation = {"fraction": 0.1, "every": every, "patience": patience}
    loop = train(tmp_path, Scored(*scores), epochs=9, validation=validation)
    assert loop.step == stop and not loop.task.scores
    again = train(tmp_path, Scored(), epochs=9, validation=validation)
    assert not again.worked


def test_validation_is_measured_every_so_often(tmp_path):
    train(tmp_path, Scored(2.0, 1.0), validation=VALIDATION | {"every": 2})
    assert column(tmp_path, "validation") == ["", "2", "", "1"]


def test_the_score_is_the_mean_over_all_examples(tmp_path):
    task = Toy(validate=3)  # in batches of 2 and 1
    loop = train(tmp_path, task, epochs=1, validation=VALIDATION)
    task.modules["model"].eval()
    examples = [task.collate([task.item(n, None)]) for n in task.samples().validate]
    with torch.no_grad():
        assert loop.best.score == pytest.approx(np.mean([task.measure(batch)["loss"].item() for batch in examples]))


def test_validation_leaves_no_trace_in_the_network(tmp_path):
    with_it = train(tmp_path / "a", Toy(validate=3), validation=VALIDATION)
    without = train(tmp_path / "b", Toy(validate=3))
    assert same(weights(with_it.task), weights(without.task))
    assert with_it.task.modules["model"].training


# ---- the average of the weights


def by_hand(decay, steps=12):
    """Weights and buffers of every step, averaged in double precision."""
    seen, task = [], Toy()
    means = {key: value.double() for key, value in weights(task).items()}

    def on_step(step, *_):
        part = 1 - min(decay, step / (9 + step))
        for key, value in weights(task).items():
            means[key] = means[key] + part * (value.double() - means[key])
        seen.append(copy.deepcopy(means))

    return task, on_step, seen


def test_the_average_is_that_of_a_loop_by_hand(tmp_path):
    task, on_step, seen = by_hand(0.6)
    loop = train(tmp_path, task, on_step=on_step, ema=0.6)
    for key, value in loop.weights()["model"].items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), seen[-1][f"model.{key}"], rtol=1e-5, atol=1e-7)
    assert loop.weights()["model"]["1.num_batches_tracked"] == 12
    assert not same({f"model.{k}": v for k, v in loop.weights()["model"].items()}, weights(task))


def test_the_best_model_is_the_averaged_one(tmp_path):
    task, on_step, seen = by_hand(0.6)
    scored = Scored(3.0, 1.0, 2.0, 2.0)
    scored.modules, scored.optimizers = task.modules, task.optimizers
    loop = train(tmp_path, scored, on_step=on_step, ema=0.6, validation=VALIDATION)
    for key, value in loop.weights()["model"].items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), seen[5][f"model.{key}"], rtol=1e-5, atol=1e-7)


def test_validation_measures_the_averaged_model(tmp_path):
    task = Toy(validate=1)
    measured, measure = [], task.measure
    task.measure = lambda batch: measured.append(weights(task)) or measure(batch)
    loop = train(tmp_path, task, ema=0.6, validation=VALIDATION, epochs=1)
    assert same(measured[-1], {f"model.{k}": v for k, v in loop.weights()["model"].items()})
    assert not same(measured[-1], weights(task))


# ---- precision


def test_half_precision_is_used_and_repeats(tmp_path):
    kinds = []

    class Watched(nn.Linear):
        def forward(self, x):
            kinds.append((y := super().forward(x)).dtype)
            return y

    def run(folder, precision):
        torch.manual_seed(1)
        return weights(train(folder, Toy(module=Watched(3, 1)), precision=precision).task)

    half = run(tmp_path / "a", "bf16")
    assert set(kinds) == {torch.bfloat16} and half["model.weight"].dtype == torch.float32
    assert same(half, run(tmp_path / "b", "bf16"))
    assert not same(half, run(tmp_path / "c", "float32")) and kinds[-1] == torch.float32


# ---- what it says


def test_it_begins_with_what_it_is_about_to_do(tmp_path):
    said = []
    with pytest.raises(Stopped):
        train(tmp_path, Toy(validate=3), on_step=stop_at(7), say=said.append, validation=VALIDATION)
    assert said == ["29 parameters on cpu (1 thread); 6 examples, 3 for validation; 12 steps of 2 in 4 epochs"]
    train(tmp_path, Toy(validate=3), say=said.append, validation=VALIDATION)
    assert said[1].endswith("12 steps of 2 in 4 epochs, going on after step 7") and len(said) == 2


def test_another_environment_is_warned_of(tmp_path):
    said = []
    with pytest.raises(Stopped):
        train(tmp_path, on_step=stop_at(7))
    try:
        torch.set_num_threads(2)
        train(tmp_path, say=said.append)
    finally:
        torch.set_num_threads(1)
    assert said[0].startswith("warning: goes on in another environment") and "threads 1 then, 2 now" in said[0]


def test_attempts_and_seconds_add_up(tmp_path):
    for cut in (2, 7):
        with pytest.raises(Stopped):
            train(tmp_path, on_step=stop_at(cut))
    loop = train(tmp_path)
    assert loop.recorder.attempts == 3 and column(tmp_path, "attempt") == ["2", "2", "3", "3"]
    seconds = [float(value) for value in column(tmp_path, "seconds")]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_long_epoch_has_rows_in_between(tmp_path):
    train(tmp_path, Toy(fit=120, module=nn.Linear(3, 1)), epochs=2, batch_size=1, save_steps=None)
    assert column(tmp_path, "step") == ["50", "100", "120", "170", "220", "240"]
    assert column(tmp_path, "epoch") == ["0", "0", "1", "1", "1", "2"]


def test_batches_can_be_left_early_by_their_readers():
    task = Toy()
    batches = stream(Batches(task, task.samples(), Order(6, 2, 0)), iter([("fit", n) for n in range(1000)]), 2, False)
    next(batches)
    batches.close()
    with pytest.raises(StopIteration):
        next(batches)


def test_the_settings_of_the_toy_are_those_of_the_config():
    assert set(settings()["training"]) == set(experiment()["training"])
