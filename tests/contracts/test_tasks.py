"""The contract every family keeps. A new file in m2m_core/tasks is tested here once it has an experiment."""

import os
import pickle
import signal

import numpy as np
import pytest
import safetensors.torch
import torch

from m2m_core import registry
from m2m_core.errors import Diverged, RunError, Stopped
from m2m_core.lock import exclusive
from m2m_core.tasks.protocol import build
from m2m_core.training.loop import Loop, fit
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import EXPERIMENTS, dataset, experiment, study
from tests.training.toys import same, weights

BATCH = 2
torch.set_num_threads(1)


@pytest.fixture(scope="module", params=sorted(registry.entries("task")))
def known(request, tmp_path_factory):
    assert request.param in EXPERIMENTS, "add an experiment for the contract to tests/tasks/studies.py"
    return request.param, dataset(request.param, tmp_path_factory.mktemp("fields"), count=7)


@pytest.fixture
def make(known):
    """A new task, and its settings."""
    name, catalogue = known

    def make(fold=0, **training):
        settings = experiment(name, training=training)
        return build(study(catalogue, settings, fold)), settings

    return make


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(Tracker, "pictures", lambda *_: None)


def run(make, folder, on_step=None, **training):
    task, settings = make(**{"save_steps": 2, "ema": 0.9} | training)
    return fit(task, settings, folder, "contract", on_step)


def leaves(item):
    """The arrays in an item."""
    if isinstance(item, dict):
        item = list(item.values())
    return [leaf for part in item for leaf in leaves(part)] if isinstance(item, list | tuple) else [np.asarray(item)]


def equal(first, second):
    pairs = list(zip(leaves(first), leaves(second), strict=True))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def columns(folder):
    """The history without what the clock decides."""
    head, *rows = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    kept = [n for n, name in enumerate(head) if name not in ("samples_per_second", "seconds", "attempt")]
    return [[row[n] for n in kept] for row in rows]


# ---- examples


def test_the_split_keeps_the_held_out_fold_apart(make, known):
    catalogue = known[1]
    held_out = {}
    for fold in range(3):
        split = make(fold)[0].samples()
        held_out[fold] = {sample.id for sample in split.predict}
        used = {str(example[0]) for part in (split.fit, split.validate) for example in part}
        assert used == {sample.id for sample in catalogue} - held_out[fold]
        assert not {e[0] for e in split.fit} & {e[0] for e in split.validate} and len(split.validate)
        assert split.watch is None or split.watch.id in {example[0] for example in split.validate}
    assert sorted(id for ids in held_out.values() for id in ids) == sorted(sample.id for sample in catalogue)


def test_an_item_is_a_pure_function_of_the_random_numbers(make):
    task, twin = make()[0], make()[0]
    split = task.samples()
    for example in split.fit[0], split.fit[len(split.fit) - 1]:
        first = task.item(example, np.random.default_rng([1, 2]))
        task.item(split.fit[0], np.random.default_rng(9))  # a history that must not matter
        assert equal(first, task.item(example, np.random.default_rng([1, 2])))
        assert equal(first, twin.item(example, np.random.default_rng([1, 2])))
        assert any(not equal(first, task.item(example, np.random.default_rng([1, n]))) for n in range(3, 9))
        assert equal(task.item(example, None), task.item(example, None))


def test_a_task_survives_being_sent_to_another_process(make):
    task = make()[0]
    task.item(task.samples().fit[0], None)  # files are open now
    twin = pickle.loads(pickle.dumps(task))
    assert equal(task.item(task.samples().fit[0], None), twin.item(task.samples().fit[0], None))


def test_examples_make_a_batch_of_tensors(make):
    task = make()[0]
    items = [task.item(task.samples().fit[n], None) for n in range(3)]
    batch = task.collate(items)
    tensors = batch if isinstance(batch, tuple) else tuple(batch.values()) if isinstance(batch, dict) else (batch,)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)
    assert all(tensor.dtype != torch.float64 for tensor in tensors)


# ---- learning


def test_a_step_tells_scalars_and_measuring_changes_nothing(make):
    task = make(clip=1.0)[0]
    split = task.samples()
    batch = task.collate([task.item(split.fit[n], None) for n in range(BATCH)])
    before = weights(task)
    with torch.no_grad():
        measured = task.measure(batch)
    assert same(before, weights(task))
    first, second = task.step(batch), task.step(batch)
    assert list(first) == list(second) and not same(before, weights(task))
    for scalars in first, measured:
        assert all(value.ndim == 0 and not value.requires_grad and bool(value.isfinite()) for value in scalars.values())


def test_every_parameter_is_trained(make, tmp_path):
    task, settings = make()
    before = weights(task)
    fit(task, settings, tmp_path, "contract")
    after = weights(task)
    parameters = [f"{m}.{key}" for m, module in task.modules.items() for key, _ in module.named_parameters()]
    assert [key for key in parameters if torch.equal(before[key], after[key])] == []
    held = {
        id(p) for optimizer in task.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    }
    assert held == {id(p) for module in task.modules.values() for p in module.parameters()}


def test_training_lowers_the_loss(make):
    task = make(augment=[])[0]
    split = task.samples()
    batch = task.collate([task.item(split.fit[n], None) for n in range(len(split.fit))])
    losses = [float(next(iter(task.step(batch).values()))) for _ in range(30)]
    assert min(losses[-5:]) < losses[0]


def test_initial_weights_are_a_function_of_the_seed(make):
    torch.manual_seed(99)
    assert same(weights(make()[0]), weights(make()[0]))
    assert not same(weights(make()[0]), weights(make(seed=1)[0]))


@pytest.mark.parametrize("setting", [{"workers": 2}, {"save_steps": 100}, {"save_steps": 1}, {"save_minutes": 1e-9}])
def test_how_it_runs_does_not_change_a_bit(make, tmp_path, setting):
    first, second = run(make, tmp_path / "a"), run(make, tmp_path / "b", **setting)
    assert same(weights(first.task), weights(second.task))
    assert all(same(first.weights()[name], second.weights()[name]) for name in first.task.modules)
    assert columns(tmp_path / "a") == columns(tmp_path / "b")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_repeats(make, tmp_path, precision):
    first, second = (run(make, tmp_path / name, precision=precision, epochs=1) for name in "ab")
    assert same(weights(first.task), weights(second.task))
    assert all(value.dtype not in (torch.bfloat16, torch.float16) for value in weights(first.task).values())


def test_several_batches_a_step_and_recomputed_activations_train_the_model_of_one_large_batch(make, tmp_path):
    one = run(make, tmp_path / "one", batch_size=4)
    several = run(make, tmp_path / "several", batch_size=2, accumulate=2, checkpoint_activations=True)
    assert one.steps == several.steps
    for key, value in weights(one.task).items():
        torch.testing.assert_close(value, weights(several.task)[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [pytest.param(2, marks=pytest.mark.long), 3])
def test_several_processes_train_the_model_of_one(known, tmp_path, batch_size):
    name, catalogue = known
    models = []
    for gpus, folder in [(1, "alone"), (2, "two"), (2, "again")]:
        files = Files(tmp_path / folder, catalogue, task=name)
        training(files, gpus=gpus, batch_size=batch_size, clip=1.0, ema=0.9)
        models.append(safetensors.torch.load_file(files.model))
    alone, two, again = models
    assert alone.keys() == two.keys() and same(two, again)
    for key, value in alone.items():
        torch.testing.assert_close(value, two[key], rtol=1e-4, atol=1e-5)


# ---- stopping and going on


@pytest.mark.parametrize("cut, setting", [
    *((cut, {}) for cut in (1, 2, 3, 5, 6)), (3, {"precision": "fp16", "accumulate": 2, "batch_size": 1, "clip": 1.0})
])  # fmt: skip
def test_a_stopped_run_ends_where_an_uninterrupted_one_does(make, tmp_path, cut, setting):
    reference = run(make, tmp_path / "whole", **setting)
    assert reference.steps == 6

    def ask_to_stop(step, *_):
        if step == cut:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        run(make, tmp_path / "cut", ask_to_stop, **setting)
    except Stopped:
        assert torch.load(tmp_path / "cut" / "last.pt", weights_only=True)["step"] == cut < 6
    second = run(make, tmp_path / "cut", **setting)
    assert same(weights(reference.task), weights(second.task))
    assert all(same(reference.weights()[name], second.weights()[name]) for name in reference.task.modules)
    assert columns(tmp_path / "whole") == columns(tmp_path / "cut")


def test_a_crash_loses_at_most_the_steps_since_the_last_save(make, tmp_path):
    reference = run(make, tmp_path / "whole")

    def crash(step, *_):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make, tmp_path / "cut", crash)
    redone = []
    resumed = run(make, tmp_path / "cut", lambda step, *_: redone.append(step))
    assert redone == [5, 6]
    assert same(weights(reference.task), weights(resumed.task))


def test_a_finished_run_is_left_alone(make, tmp_path):
    run(make, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}
    assert not run(make, tmp_path).worked
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}


def test_more_epochs_continue(make, tmp_path):
    long = run(make, tmp_path / "long", epochs=5)
    run(make, tmp_path / "short", epochs=3)
    steps = []
    continued = run(make, tmp_path / "short", lambda step, *_: steps.append(step), epochs=5)
    assert steps == [7, 8, 9, 10] and same(weights(long.task), weights(continued.task))


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(make, tmp_path):
    run(make, tmp_path, epochs=1)
    good = (tmp_path / "last.pt").read_bytes()
    task, settings = make(epochs=3, ema=0.9, save_steps=100)
    original = task.step
    task.step = lambda batch: {name: value * float("nan") for name, value in original(batch).items()}
    with pytest.raises(Diverged) as error:
        fit(task, settings, tmp_path, "contract")
    loop = Loop(make()[0], settings, tmp_path / "other", "contract")
    term = next(iter(original(loop.source["fit", 2])))
    assert str(error.value).startswith(f"step 2: {term} is not finite for examples ")
    assert all(str(loop.split.fit[int(n)][0]) in str(error.value) for n in loop.source.members(2)[1])
    assert (tmp_path / "last.pt").read_bytes() == good
    with np.load(tmp_path / "diverged.npz") as arrays:
        assert sum(array.nbytes for array in arrays.values()) > 0


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_torn_checkpoint_is_named(make, tmp_path, keep):
    run(make, tmp_path, epochs=1)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="last.pt"):
        run(make, tmp_path)


def test_a_checkpoint_holds_only_what_loads_safely(make, tmp_path):
    run(make, tmp_path, epochs=1)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert set(state["modules"]) == set(make()[0].modules) and state["step"] == 2


def test_two_runs_cannot_share_a_folder(make, tmp_path):
    with exclusive(tmp_path), pytest.raises(RunError, match="in use by process"):
        run(make, tmp_path)


# ---- judging


def test_a_prediction_is_whole_repeats_and_is_judged(make, tmp_path):
    task = run(make, tmp_path).task
    for module in task.modules.values():
        module.eval()
    sample = task.samples().predict[0]
    before = weights(task)
    first, again = task.predict(sample), task.predict(sample)
    covered = np.zeros(first.shape, int)
    whole = np.empty(first.shape, np.float32)
    for place, block in first.blocks:
        covered[place] += 1
        whole[place] = block
    assert np.array_equal(covered, np.ones_like(covered)) and np.isfinite(whole).all()
    assert np.array_equal(whole, again.whole()) and same(before, weights(task))
    rows = task.evaluate(whole, sample)
    assert {"emulator"} < {row[0] for row in rows}, "baselines are judged beside the emulator"
    assert not hasattr(task, "beside") or task.beside(sample)["target"].shape == whole.shape
    for source, field, metric, x, value in rows:
        assert all(isinstance(word, str) for word in (source, field, metric))
        assert np.isfinite(value) and (x is None or np.isfinite(x))
