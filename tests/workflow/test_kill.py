"""Kill the training at a random time; running again ends with the same bits."""

import os
import random
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.workflow


def trainer(project) -> int | None:
    """The process that trains in this folder."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if "training.py" in command and str(project.folder) in command and "bash" not in command.split("\0")[0]:
            return int(pid)
    return None


def lengthen(project) -> None:
    project.config["experiments"]["tiny"]["training"].update(epochs=60, save_steps=7)
    project.save()


@pytest.fixture
def reference(project, tmp_path):
    """The models of an uninterrupted run of the longer training, and a project that has not run it yet."""
    lengthen(project)
    other = object.__new__(type(project))
    other.__dict__.update(project.__dict__, folder=tmp_path / "reference")
    shutil.copytree(project.folder, other.folder, symlinks=True)
    other.run("--until", "training")
    return other.models()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_to_the_same_bits(project, reference, number):
    process = project.start("--until", "training")
    deadline = time.monotonic() + 120
    while trainer(project) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    state = project.path("experiments/tiny")
    while not list(state.glob("fold-*/training/*/last.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.random())
    pid = trainer(project)
    if pid is not None:
        os.kill(pid, number)
    process.communicate(timeout=120)
    project.run("--until", "training")
    assert project.models() == reference
