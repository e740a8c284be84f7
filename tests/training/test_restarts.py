"""What a scheduler does to a training: time limits, and starts that lead nowhere."""

import os
import stat

import pytest
import torch

from m2m_core.errors import DataError, RunError, Stopped
from m2m_core.training import restarts
from m2m_core.training.loop import fit
from m2m_core.training.restarts import again_at_the_time_limit, fruitful
from tests.training.toys import Toy, in_child, same, settings, stop_at, train, weights

torch.set_num_threads(1)


def killed_before_a_step(folder):
    def work():
        with fruitful(folder):
            os._exit(137)

    in_child(work)


def test_the_third_start_without_a_step_is_refused_and_the_next_may_try_again(tmp_path):
    for _ in range(2):
        killed_before_a_step(tmp_path)
    with pytest.raises(RunError, match="no step was completed in 2 starts, each was killed before; give the job more"):
        with fruitful(tmp_path):
            raise AssertionError("not reached")
    with fruitful(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_completed_step_and_an_error_of_its_own_are_no_fruitless_starts(tmp_path):
    def killed_after_a_step():
        with fruitful(tmp_path) as completed:
            completed()
            os._exit(137)

    for _ in range(4):
        in_child(killed_after_a_step)
    for _ in range(4):
        with pytest.raises(DataError), fruitful(tmp_path):
            raise DataError("a bad file")
    train(tmp_path)
    assert not (tmp_path / "starts.json").exists()


def test_a_torn_count_is_none(tmp_path):
    (tmp_path / "starts.json").write_text('{"sta')
    with fruitful(tmp_path):
        pass


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of Slurm that say what they are told to, and note what they are asked."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answer(squeue, scontrol="exit 0"):
        for name, body in {"squeue": squeue, "scontrol": scontrol}.items():
            (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n{body}\n')
            (folder / name).chmod(stat.S_IRWXU)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    return answer


def stopped(say):
    with pytest.raises(Stopped), again_at_the_time_limit(say):
        raise Stopped("stopped at step 3 of 9, saved; run again to continue")


def test_at_the_time_limit_the_job_is_queued_again(slurm, tmp_path):
    slurm("echo RUNNING 1:52")
    said = []
    stopped(said.append)
    assert (tmp_path / "asked").read_text().splitlines() == ["squeue -h -j 42 -o %T %L", "scontrol requeue 42"]
    assert said == ["time limit of job 42: it is queued again and goes on by itself"]


@pytest.mark.parametrize(
    "answer", ["echo RUNNING 1-02:00:00", "echo RUNNING 11:00", "echo RUNNING UNLIMITED", "echo COMPLETING 1:00",
               "echo CANCELLED 1:00", "echo PREEMPTED 1:00", "exit 1", "true"],
)  # fmt: skip
def test_a_job_stopped_for_another_reason_is_not(slurm, tmp_path, answer):
    slurm(answer)
    stopped(lambda text: pytest.fail(text))
    assert "scontrol" not in (tmp_path / "asked").read_text()


def test_a_scheduler_that_refuses_leaves_it_to_the_retries(slurm):
    slurm("echo RUNNING 0:30", "exit 1")
    said = []
    stopped(said.append)
    assert said[-1] == "job 42 was not queued again; a retry goes on from what is saved"


def test_what_ends_well_asks_nothing(slurm, tmp_path):
    slurm("echo RUNNING 0:30")
    with again_at_the_time_limit(pytest.fail):
        pass
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "text, seconds",
    [("1:52", 112), ("2:03:04", 7384), ("1-00:00:00", 86400), ("59", 59), ("UNLIMITED", float("inf")),
     ("", float("inf"))],
)  # fmt: skip
def test_times_of_slurm(text, seconds):
    assert restarts._seconds(text) == seconds


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("*.pt"))


@pytest.mark.parametrize("keep, earlier", [(1, []), (2, [5]), (4, [3, 4, 5])])
def test_the_last_checkpoints_are_kept_and_a_finished_training_keeps_one(tmp_path, keep, earlier):
    with pytest.raises(Stopped):
        train(tmp_path, on_step=stop_at(6), epochs=4, save_steps=1, keep=keep)
    assert checkpoints(tmp_path) == ["last.pt", *(f"step-{step:09d}.pt" for step in earlier)]
    for step in earlier:
        assert torch.load(tmp_path / f"step-{step:09d}.pt", weights_only=True)["step"] == step
    train(tmp_path, epochs=4, save_steps=1, keep=keep)
    assert checkpoints(tmp_path) == ["last.pt"]


def test_without_the_last_checkpoint_the_one_before_ends_with_the_same_bits(tmp_path):
    whole = weights(train(tmp_path / "whole", epochs=4).task)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", on_step=stop_at(6), epochs=4, save_steps=1)
    (tmp_path / "cut" / "last.pt").write_bytes(b"torn")
    with pytest.raises(RunError, match="last.pt: not a readable checkpoint .*; delete it to go on from step-000000005"):
        train(tmp_path / "cut", epochs=4)
    (tmp_path / "cut" / "last.pt").unlink()
    loop = fit(Toy(), settings(epochs=4), tmp_path / "cut", "toy")
    assert loop.recorder.attempts == 2 and same(whole, weights(loop.task))
