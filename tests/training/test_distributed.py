"""Several processes train one model: the same result as one process, one agreed stop, and one line for any loss."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from m2m_core.errors import DataError, Diverged, M2MError, RunError, Stopped
from m2m_core.training import launch
from m2m_core.training.batches import Batches
from m2m_core.training.gradients import Gradients, buckets
from m2m_core.training.order import Order
from tests.training.ranks import Line, together
from tests.training.toys import VALIDATION, Toy, column, same, stop_at, weights

ROOT = Path(__file__).parents[2]
THREE = pytest.param(3, 0, marks=pytest.mark.long)
MEASURED = {"validation": VALIDATION, "ema": 0.9, "batch_size": 3}
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def first(monkeypatch):
    monkeypatch.setenv("RANK_OF_TEST", "0")


def close(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=1e-12, atol=1e-14)


def numbers(folder, name):
    return np.array([float(value) for value in column(folder, name) if value])


# ---- which examples


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_example_is_read_by_one_process_and_the_same_in_any_number(size):
    task, order = Toy(fit=7, validate=5), Order(7, 3, 0)
    whole = Batches(task, task.samples(), order)
    parts = [Batches(task, task.samples(), order, rank, size) for rank in range(size)]
    for key in [("fit", step) for step in range(6)] + whole.validations:
        counts = [part.count(key) for part in parts]
        assert sum(own for own, _ in counts) == counts[0][1] == len(whole.items(key))
        read = [part.items(key)[:own] for part, (own, _) in zip(parts, counts, strict=True)]
        assert sorted(y.item() for items in read for _, y in items) == sorted(y.item() for _, y in whole.items(key))
        assert all(part.items(key) for part in parts)  # something to compute with, even if it counts nothing


# ---- the same as alone


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return together(folder, gpus=1, schedule={"name": "plateau", "patience": 1}, **MEASURED), folder


@pytest.mark.parametrize("gpus, workers", [(2, 0), THREE, (2, 1)])
def test_parts_of_a_batch_make_the_whole(alone, tmp_path, gpus, workers):
    reference, folder = alone  # batches of 3, 3 and 1: with three processes, two have nothing in the last
    schedule = {"name": "plateau", "patience": 1}
    loop = together(tmp_path, gpus=gpus, workers=workers, schedule=schedule, **MEASURED)
    close(weights(reference.task), weights(loop.task))
    close(reference.weights()["model"], loop.weights()["model"])
    assert loop.best.step == reference.best.step and loop.best.score == pytest.approx(reference.best.score, rel=1e-12)
    for name in ("step", "loss", "gradient", "validation", "lr"):
        np.testing.assert_allclose(numbers(tmp_path, name), numbers(folder, name), rtol=1e-6)
    assert column(tmp_path, "step") == ["3", "6", "9", "12"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("setting", [{}, {"accumulate": 2, "checkpoint_activations": True}])
def test_batch_normalisation_is_that_of_the_whole_batch(tmp_path, setting):
    """Batches of 3, 3 and 1: the last one leaves a process without examples, which must not count."""
    common = {**MEASURED, **setting}
    one, two = (together(tmp_path / str(gpus), "Normed", gpus=gpus, **common) for gpus in (1, 2))
    found, expected = weights(two.task), weights(one.task)
    assert found["model.2.num_batches_tracked"] == expected["model.2.num_batches_tracked"] > 0
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(numbers(tmp_path / "1", "loss"), numbers(tmp_path / "2", "loss"), rtol=1e-6)
    assert two.best.score == pytest.approx(one.best.score, rel=1e-7)


@pytest.mark.parametrize(
    "toy, setting",
    [pytest.param("Line", {"accumulate": 2}, marks=pytest.mark.long), ("Halved", {"accumulate": 2})],
)
def test_parts_of_parts_and_scaled_losses_make_the_whole(tmp_path, toy, setting):
    common = {**MEASURED, "batch_size": 2, **setting}
    one, two = (together(tmp_path / str(gpus), toy, gpus=gpus, **common) for gpus in (1, 2))
    close(weights(one.task), weights(two.task))
    assert one.descent.state() == two.descent.state() and (toy == "Line" or one.descent.scale == 2.0**15)
    np.testing.assert_allclose(numbers(tmp_path / "1", "loss"), numbers(tmp_path / "2", "loss"), rtol=1e-6)


@pytest.mark.parametrize("validation", [VALIDATION, pytest.param(None, marks=pytest.mark.long)])
def test_averaged_weights_and_their_statistics_are_those_of_one_process(tmp_path, validation):
    common = {"batch_size": 3, "average": {"last": 2}, "validation": validation}
    one, two = (together(tmp_path / str(gpus), "Normed", gpus=gpus, **common).weights() for gpus in (1, 2))
    assert one["model"]["2.running_mean"].any()
    for key, value in one["model"].items():
        torch.testing.assert_close(value, two["model"][key], rtol=1e-6, atol=1e-9)


def test_twice_the_same_bits(tmp_path):
    first, second = (together(tmp_path / name, "Stateful", gpus=3, **MEASURED) for name in "ab")
    assert same(weights(first.task), weights(second.task)) and first.task.modules["model"][1].running_mean.any()


def test_early_stopping_is_one_decision(tmp_path):
    validation = {"fraction": 0.1, "every": 1, "patience": 1}
    options = {"lr": 2.0}  # it does not get better for long
    first = together(tmp_path / "a", gpus=1, batch_size=3, epochs=30, validation=validation, options=options)
    second = together(tmp_path / "b", gpus=2, batch_size=3, epochs=30, validation=validation, options=options)
    assert first.step == second.step < 90


def test_a_divergence_names_the_batch_and_ends_all(tmp_path):
    with pytest.raises(Diverged, match=r"step \d: loss is not finite for examples .*; their batch is in"):
        together(tmp_path, "Nan", batch_size=3)
    with np.load(tmp_path / "diverged.npz") as arrays:
        assert len(arrays.files) in (2, 6)  # input and target of each example of the batch


# ---- gradients


class Halves:
    """Two processes in one: what is to be summed is doubled, which weights of one half each make good."""

    def __init__(self):
        self.sizes = []

    def __call__(self, flat):
        self.sizes.append(flat.numel())
        flat.mul_(0.5)
        return lambda: flat.mul_(2)


def test_gradients_are_summed_once_a_pass_and_only_those_that_took_part(monkeypatch):
    monkeypatch.setattr("m2m_core.training.gradients.BUCKET", 16)
    torch.manual_seed(0)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    add, x = Halves(), torch.ones(1, 2)
    Gradients([*first.parameters(), *second.parameters()], add)
    second(first(x)).sum().backward()
    expected = [p.grad.clone() for p in first.parameters()]
    assert add.sizes == [2, 4, 2, 4]  # one message a bucket of 16 bytes, the last layer first
    add.sizes.clear()
    first(x).sum().backward()  # adds to what is there
    assert add.sizes == [2, 4] and not torch.equal(expected[0], first.weight.grad)
    loss = second(first(x)).pow(2).sum()
    torch.autograd.grad(loss, first.weight)  # no pass that leaves gradients: nothing is sent
    assert add.sizes == [2, 4]


def test_buckets_hold_neighbours_of_one_type():
    sizes = [10, 10, 30, 5, 5]
    tensors = [torch.zeros(n, dtype=torch.float64 if n == 5 else torch.float32) for n in sizes]
    assert [[t.numel() for t in bucket] for bucket in buckets(tensors, 80)] == [[10, 10], [30], [5, 5]]


# ---- stopping and going on


@pytest.mark.parametrize("toy", [pytest.param("Line", marks=pytest.mark.long), "Stateful", "Halved"])
def test_a_stopped_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, toy):
    common = {**MEASURED, "save_steps": 5, "workers": 0}
    reference = together(tmp_path / "whole", toy, **common)
    with pytest.raises(Stopped, match=r"stopped at step \d of 12, saved; run again to continue"):
        together(tmp_path / "cut", toy, on_step=stop_at(4), **common)
    loop = together(tmp_path / "cut", toy, **common)
    assert loop.recorder.attempts == 2
    assert same(weights(reference.task), weights(loop.task))
    for name in ("step", "loss", "validation", "lr"):
        assert column(tmp_path / "whole", name) == column(tmp_path / "cut", name)


def test_a_stop_while_validating_is_one_decision_and_measured_later(alone, tmp_path):
    schedule = {"name": "plateau", "patience": 1}
    with pytest.raises(Stopped, match="stopped at step 3 of 12"):
        together(tmp_path, "Interrupted", schedule=schedule, **MEASURED)
    assert not (tmp_path / "history.csv").exists()
    loop = together(tmp_path, schedule=schedule, **MEASURED)
    close(weights(alone[0].task), weights(loop.task))
    np.testing.assert_allclose(numbers(tmp_path, "validation"), numbers(alone[1], "validation"), rtol=1e-6)


def test_another_number_of_processes_goes_on_and_says_so(alone, tmp_path):
    schedule = {"name": "plateau", "patience": 1}
    with pytest.raises(Stopped):
        together(tmp_path, gpus=3, on_step=stop_at(5), schedule=schedule, **MEASURED)
    said = []
    loop = together(tmp_path, gpus=2, say=said.append, schedule=schedule, **MEASURED)
    assert "not bit by bit as before: processes 3 then, 2 now" in said[0]
    close(weights(alone[0].task), weights(loop.task))


SCRIPT = "import sys; from tests.training.ranks import main; main(sys.argv[1], sys.argv[2])"


def start(folder, **arguments):
    """The first process in a group of its own, and all its processes, as soon as it has trained a little."""
    options = {"toy": "Slow", "epochs": 100, "save_steps": 3, **MEASURED, **arguments}
    command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(options)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while not (folder / "last.pt").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None
    return process, ranks_of(process.pid)


def ranks_of(parent):
    """The processes of the other ranks, by what they run."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=False).stdout
    lines = [line.split(None, 2) for line in rows.splitlines()]
    return [int(pid) for pid, ppid, what in lines if int(ppid) == parent and "-m tests.training.ranks" in what]


def gone(group, seconds=15.0):
    """Whether no process of a group is left after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


SIGNALLED = {"epochs": 20, "save_steps": 3, **MEASURED}


@pytest.fixture(scope="module")
def in_peace(tmp_path_factory):
    """What the training that gets signals comes to without any."""
    folder = tmp_path_factory.mktemp("in peace")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("RANK_OF_TEST", "0")
        return SimpleNamespace(folder=folder, loop=together(folder, **SIGNALLED))


@pytest.mark.parametrize("whom", ["first", pytest.param("another", marks=pytest.mark.long), "all"])
def test_a_signal_to_any_ends_all_at_one_step(in_peace, tmp_path, whom):
    process, pids = start(tmp_path / "cut", gpus=2, epochs=20)
    assert len(pids) == 1
    for pid in {"first": [process.pid], "another": pids, "all": [process.pid, *pids]}[whom]:
        os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143 and re.match(r"Stopped: stopped at step \d+ of 60, saved", output)
    assert gone(process.pid)
    assert 0 < torch.load(tmp_path / "cut" / "last.pt", weights_only=True)["step"] < 60
    loop = together(tmp_path / "cut", **SIGNALLED)
    assert same(weights(in_peace.loop.task), weights(loop.task))
    assert column(tmp_path / "cut", "loss") == column(in_peace.folder, "loss")


@pytest.mark.parametrize("gpus, workers", [THREE, (2, 1)])
def test_a_killed_process_ends_all_with_its_signal(tmp_path, gpus, workers):
    process, pids = start(tmp_path, gpus=gpus, workers=workers)
    os.kill(pids[0], signal.SIGKILL)
    begin = time.monotonic()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 4 and time.monotonic() - begin < 15
    assert output == (
        "RunError: process 1 of this training was killed by signal 9, likely for memory; run again to continue\n"
    )
    assert gone(process.pid)


@pytest.mark.parametrize("gpus, workers", [THREE, (2, 1)])
def test_nothing_outlives_a_killed_first_process(tmp_path, gpus, workers):
    process, pids = start(tmp_path, gpus=gpus, workers=workers)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(pids) == gpus - 1 and gone(process.pid)  # readers look for their parent every five seconds


def test_a_process_that_waits_on_its_gpu_for_a_lost_one_is_ended(monkeypatch):
    codes, said = [], []
    monkeypatch.setattr(launch, "STUCK", 0.1)
    monkeypatch.setattr(launch.os, "_exit", codes.append)
    others = launch.Others(said.append)
    others.processes = [SimpleNamespace(code=lambda: -9, reason=lambda: RunError("process 1 was killed by signal 9"))]
    others._watch()
    assert codes == [4] and said == ["error: process 1 was killed by signal 9"]


# ---- errors of the others


@pytest.mark.parametrize("gpus", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_bad_example_of_any_keeps_its_one_line(tmp_path, gpus):
    with pytest.raises(DataError) as error:
        together(tmp_path, "Damaged", gpus=gpus, batch_size=3)
    assert str(error.value) == "fields/3.npy: cut short; expected 96 bytes"


def test_a_bug_in_another_process_is_named(tmp_path):
    with pytest.raises(M2MError, match="^ValueError: a bug of somebody; the traceback is in the log$") as error:
        together(tmp_path, "Buggy")
    assert error.value.exit_code == 1


def test_processes_that_begin_differently_are_refused(tmp_path):
    with pytest.raises(RunError, match="process 1 of 2 has other weights or settings than the first"):
        together(tmp_path, "Other")


def test_a_process_that_never_begins(tmp_path, monkeypatch):
    monkeypatch.setattr("m2m_core.training.launch.sys.executable", "/bin/false")
    with pytest.raises(RunError, match="process 1 of this training ended with exit code 1; the log says more"):
        together(tmp_path)


def test_a_folder_in_use_is_refused_and_all_end(tmp_path):
    def second(step, *_):
        with pytest.raises(RunError, match="in use by process"):
            together(tmp_path, gpus=1)

    assert together(tmp_path, on_step=second, epochs=1, batch_size=7).step == 1


# ---- several nodes

SRUN = """
import os, subprocess, sys
options = [a for a in sys.argv[1:] if a.startswith("--")]
command = sys.argv[1 + len(options):] if "-P" not in sys.argv else sys.argv[sys.argv.index("-P") - 1:]
given = dict(o[2:].split("=") for o in sys.argv[1:sys.argv.index(command[0])] if "=" in o)
open(os.environ["TOLD"], "w").write(" ".join(sys.argv[1:sys.argv.index(command[0])]))
read = sys.stdin.readline()
tasks = int(given["ntasks"])
assert not [k for k in os.environ if k.startswith("SLURM_") and k != "SLURM_JOB_ID"]
running = []
for n in range(tasks):
    place = {"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n % int(given["ntasks-per-node"]))}
    running.append(subprocess.Popen(command, env={**os.environ, **place}, stdin=subprocess.PIPE, text=True))
    running[-1].stdin.write(read); running[-1].stdin.flush()
sys.stdin.read()
for r in running: r.stdin.close()
sys.exit(max(r.wait() for r in running))
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm whose nodes are all this computer."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"srun": f"#!{sys.executable}{SRUN}", "squeue": "#!/bin/sh\necho 2\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "42", "SLURMD_NODENAME": "n1", "SLURM_NTASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


def test_two_processes_on_each_of_two_nodes(slurm, tmp_path):
    common = {"batch_size": 5, "validation": VALIDATION, "save_steps": None}
    loop = together(tmp_path / "a", gpus=2, nodes=2, **common)
    assert loop.group.size == 4
    close(weights(together(tmp_path / "b", gpus=1, **common).task), weights(loop.task))
    expected = "--jobid=42 --overlap --nodes=1 --exclude=n1 --ntasks=2 --ntasks-per-node=2 --cpus-per-task=1"
    assert slurm.read_text().startswith(expected)


def test_an_error_on_another_node_keeps_its_one_line(slurm, tmp_path):
    with pytest.raises(DataError, match="^fields/3.npy: cut short"):
        together(tmp_path / "a", "Damaged", gpus=1, nodes=2, batch_size=3, options={"fit": 7})


def test_the_toy_of_these_tests_is_exact():
    assert all(p.dtype == torch.float64 for p in Line().modules["model"].parameters())
