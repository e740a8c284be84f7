"""Kill the process at every single file operation of a run, in turn; whatever is left must resume exactly."""

import builtins
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.toys import Toy, in_child, same, train, weights

ROOT = Path(__file__).parents[2]
KEPT = {".lock", "history.csv", "last.pt", "tensorboard"}
MEASURED = {"validation": {"fraction": 0.1, "every": 1, "patience": None}, "ema": 0.9, "save_steps": 2}
torch.set_num_threads(1)


class Plain(Toy):
    """Without pictures, which cost most of the time."""

    def samples(self):
        split = super().samples()
        return type(split)(split.fit, split.validate, split.predict)


def run(folder):
    return train(folder, Plain(validate=3), epochs=3, **MEASURED)


def crash_at(count, done):
    """Die before, or if `done` after, operation number `count` among (open to write, fsync, replace, unlink)."""
    seen = 0

    def guard(operation, counts=lambda *a: True):
        def guarded(*args, **kwargs):
            nonlocal seen
            if counts(*args):
                seen += 1
                if seen == count:
                    if done:
                        operation(*args, **kwargs)
                    os._exit(137)
            return operation(*args, **kwargs)

        return guarded

    os.fsync, os.replace = guard(os.fsync), guard(os.replace)
    Path.unlink = guard(Path.unlink)
    builtins.open = guard(builtins.open, lambda path, mode="r", *rest: "w" in mode or "a" in mode)


def rows(folder):
    """The history without what the clock decides."""
    lines = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    return [line[:5] for line in lines]


@pytest.mark.parametrize("done", [False, True])
def test_resume_after_a_crash_at_every_file_operation(tmp_path, done):
    whole = run(tmp_path / "whole")
    reference, model = weights(whole.task), whole.weights()["model"]
    for count in range(1, 200):
        folder = tmp_path / str(count)
        code = in_child(lambda count=count, folder=folder: (crash_at(count, done), run(folder)))
        assert code in (0, 137)
        loop = run(folder)
        assert same(reference, weights(loop.task)) and same(model, loop.weights()["model"]), f"crash point {count}"
        assert rows(folder) == rows(tmp_path / "whole"), f"crash point {count}"
        assert {path.name for path in folder.iterdir()} == KEPT
        if code == 0:
            assert count > 25  # five operations a save, so the guard works
            return
    pytest.fail("the run never finished")


SCRIPT = """
import sys
from pathlib import Path
import torch
from m2m_core.errors import Stopped
from tests.training.test_crash_points import Slow
from tests.training.toys import train
torch.set_num_threads(1)
print("ready", flush=True)
try:
    train(Path(sys.argv[1]), Slow(), epochs=20, save_steps=3, workers=int(sys.argv[2]))
except Stopped as error:
    sys.exit(error.exit_code)
"""


class Slow(Toy):
    """Ten milliseconds a step, time to be killed in."""

    def step(self, batch):
        time.sleep(0.01)
        return super().step(batch)


def start(folder, workers):
    command = [sys.executable, "-c", SCRIPT, str(folder), str(workers)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    return process


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


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.long), 2])
def test_resume_after_sigkill_at_random_times(tmp_path, workers):
    reference = weights(train(tmp_path / "whole", epochs=20, save_steps=3).task)
    rng, killed = np.random.default_rng(workers), 0
    for _ in range(3):
        process = start(tmp_path / "cut", workers)
        try:
            process.wait(rng.uniform(0.1, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
        assert gone(process.pid), "a process that reads ahead outlives the trainer"
    assert killed
    loop = train(tmp_path / "cut", epochs=20, save_steps=3)
    assert same(reference, weights(loop.task))
    assert {path.name for path in (tmp_path / "cut").iterdir()} == KEPT


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_to_the_whole_group_spares_the_readers_until_all_is_saved(tmp_path, number):
    process = start(tmp_path / "cut", 2)
    while process.poll() is None and not (tmp_path / "cut" / "last.pt").exists():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait(20) == 143 and gone(process.pid)
    state = torch.load(tmp_path / "cut" / "last.pt", weights_only=True)
    assert 0 < state["step"] < 60
    reference = weights(train(tmp_path / "whole", epochs=20, save_steps=3).task)
    assert same(reference, weights(train(tmp_path / "cut", epochs=20, save_steps=3).task))
