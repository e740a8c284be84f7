"""What goes wrong in a training is one line that says what to do, and the last good checkpoint is kept."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from m2m_core.errors import ConfigError, DataError, Diverged, RunError
from m2m_core.training import batches
from m2m_core.training.order import Order
from tests.training.toys import VALIDATION, Scored, Toy, in_child, train

torch.set_num_threads(1)


def test_a_short_batch_of_which_batch_normalisation_gets_one_value_is_refused_before_the_first_update(tmp_path):
    steps = []
    with pytest.raises(ConfigError, match="^training.batch_size: a batch of one example, of which batch normalisation"):
        train(tmp_path, Toy(fit=7), on_step=lambda *now: steps.append(now))
    assert not steps
    assert train(tmp_path / "whole", Toy(fit=6)).worked


@pytest.mark.parametrize("every", [1, 100])
def test_a_loss_that_is_not_finite(tmp_path, every):
    train(tmp_path, epochs=2, save_steps=every)
    good = (tmp_path / "last.pt").read_bytes()
    task = Toy()
    step, count = task.step, iter(range(100))
    task.step = lambda batch: {"loss": step(batch)["loss"] * (float("nan") if next(count) == 1 else 1.0)}
    with pytest.raises(Diverged) as error:
        train(tmp_path, task, epochs=4, save_steps=every)
    numbers = Order(6, 2, 0).members(7)[1]
    assert str(error.value).startswith(
        f"step 7: loss is not finite for examples {numbers[0]}, {numbers[1]}; their batch"
    )
    kept = 6 if every == 100 else 7
    assert f"the checkpoint of step {kept} is kept; lower optimizer.lr or set training.clip" in str(error.value)
    assert ((tmp_path / "last.pt").read_bytes() == good) == (every == 100)
    with np.load(tmp_path / "diverged.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            f"item-{i}-{part}": shape for i in range(2) for part, shape in enumerate([(3,), (1,)])
        }


def test_an_update_to_nothing_is_never_saved(tmp_path):
    task = Toy()
    step = task.step

    def poisoned(batch):
        loss = step(batch)
        task.modules["model"][0].weight.data[0] = torch.inf
        return loss

    task.step = poisoned
    with pytest.raises(Diverged, match="step 0: model.0.weight is not finite after the update; no checkpoint was made"):
        train(tmp_path, task, save_steps=1)
    assert not (tmp_path / "last.pt").exists()


def test_a_score_that_is_not_finite(tmp_path):
    with pytest.raises(Diverged, match="step 6: the validation score is nan"):
        train(tmp_path, Scored(1.0, float("nan")), validation=VALIDATION)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_example_keeps_its_one_line(tmp_path, workers):
    task = Toy()
    item = task.item

    def broken(example, rng):
        if example == 3:
            raise DataError("fields/3.npy: cut short; expected 96 bytes")
        return item(example, rng)

    task.item = broken
    with pytest.raises(DataError) as error:
        train(tmp_path, task, workers=workers)
    assert str(error.value) == "fields/3.npy: cut short; expected 96 bytes"


def test_a_reader_that_is_killed(tmp_path):
    task = Toy()
    owner = os.getpid()
    item = task.item
    task.item = lambda *a: os.kill(os.getpid(), 9) if os.getpid() != owner else item(*a)
    with pytest.raises(RunError, match="killed, likely for memory.*lower training.workers"):
        train(tmp_path, task, workers=1)


def test_a_reader_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "PATIENCE", 1.0)
    task = Toy()
    owner = os.getpid()
    item = task.item
    task.item = lambda *a: time.sleep(60) if os.getpid() != owner else item(*a)
    with pytest.raises(RunError, match="gives nothing; does the file system hang.*timed out after 1"):
        train(tmp_path, task, workers=1)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError("Unable to allocate")])
def test_memory_that_runs_out(tmp_path, error):
    task = Toy()

    def step(batch):
        raise error

    task.step = step
    with pytest.raises(RunError, match="out of memory: batches of 2; lower training.batch_size or crops.size; "):
        train(tmp_path, task)


def test_a_real_allocation_that_fails(tmp_path):
    task = Toy()
    task.step = lambda batch: {"loss": torch.empty(2**50)}
    with pytest.raises(RunError, match="out of memory: batches of 2"):
        train(tmp_path, task)


def test_other_errors_are_not_about_memory(tmp_path):
    task = Toy()
    task.collate = lambda items: [torch.zeros(2, 5), torch.zeros(2, 1)]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(tmp_path, task)


def test_two_runs_cannot_share_a_folder(tmp_path):
    def second(step, *_):
        with pytest.raises(RunError, match="in use by process"):
            train(tmp_path)

    loop = train(tmp_path, on_step=second, epochs=1)
    assert loop.step == 3


def test_nothing_to_fit(tmp_path):
    with pytest.raises(ConfigError, match="no sample is left to fit"):
        train(tmp_path, Toy(fit=0))


def test_a_plateau_needs_scores(tmp_path):
    with pytest.raises(ConfigError, match="'plateau' needs training.validation"):
        train(tmp_path, schedule={"name": "plateau"})


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / ".last.pt.123.tmp").write_bytes(b"half")
    train(tmp_path)
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))


def test_a_file_size_limit_is_named_and_keeps_the_checkpoint(tmp_path):
    train(tmp_path, epochs=1)
    good = (tmp_path / "last.pt").read_bytes()

    def limited():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(RunError, match="last.pt: cannot be written: file size limit reached"):
            train(tmp_path, epochs=2, save_steps=1)

    assert in_child(limited) == 0
    assert (tmp_path / "last.pt").read_bytes() == good
    train(tmp_path, epochs=2)
