"""Kill the training at a random time; running again ends with the same bits."""

import os
import random
import shutil
import signal
import time

import pytest

from m2m_core.lock import owner

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


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory):
    """A project with longer trainings to do."""
    project = finished.copied(tmp_path_factory.mktemp("longer") / "to do")
    project.config["experiments"]["tiny"]["training"].update(epochs=60, save_steps=7)
    project.save()
    return project


@pytest.fixture(scope="module")
def reference(longer):
    """The models of those trainings when they are left in peace."""
    other = longer.copied(longer.folder.parent / "reference")
    other.run("--until", "training")
    return other.models()


@pytest.fixture
def project(longer, tmp_path):
    """A copy with everything to do."""
    return longer.copied(tmp_path / "a copy")


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
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


def begin(project, **options):
    """Snakemake, as soon as a checkpoint of its training is on disk, and the process that made it."""
    process = project.start("--until", "training", **options)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for checkpoint in project.path("experiments/tiny").glob("fold-*/training/*/last.pt"):
            if who := owner(checkpoint.parent):
                return process, int(who.split()[1])
        time.sleep(0.02)
    raise AssertionError(process.communicate()[0])


def test_a_computer_that_lost_power_goes_on_to_the_same_bits(project, reference):
    process, _ = begin(project, start_new_session=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    output = project.run("--until", "training")
    assert "which was killed, are removed" in output
    assert project.models() == reference


def test_a_training_that_outlived_its_snakemake_is_waited_for(project, reference):
    process, pid = begin(project)
    os.kill(pid, signal.SIGSTOP)  # so that it certainly still lives when the next one starts
    process.kill()
    process.wait()
    second = project.start("--until", "training")
    lines = []
    for line in second.stdout:
        lines.append(line)
        if f"waiting for process {pid} on" in line:
            break
    else:
        raise AssertionError("".join(lines))
    os.kill(pid, signal.SIGCONT)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert project.models() == reference
    process.stdout.close()


def test_a_second_snakemake_is_refused_and_the_first_unharmed(project, reference, tmp_path):
    process, pid = begin(project)
    os.kill(pid, signal.SIGSTOP)  # it shall not be done before the second one starts
    project.run("--until", "training", expected=1)  # by Snakemake itself, in the same folder
    others = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(project.folder, tmp_path / "beside", symlinks=True, ignore=others)
    beside = project.of(tmp_path / "beside")
    output = beside.run("--forcerun", "training", "--config", f"results={project.folder / 'results'}", expected=4)
    assert f"in use by process {process.pid} on" in output
    os.kill(pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert project.models() == reference
