"""The demo on a real Slurm; and whatever befalls a training there, it ends with the weights of one left in peace.

All in one file, because one process of the tests at a time can have the cluster.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.slurm.conftest import ClusterProject, processes_of
from tests.workflow.conftest import TOP, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
FOLDS = range(3)


@pytest.fixture(scope="module")
def prepared(slurm, tmp_path_factory):
    """A project with three trainings to do, of a quarter of a minute and more each."""
    project = ClusterProject(tmp_path_factory.mktemp("cluster") / "ready to train")
    project.config["datasets"]["boxes"]["folds"] = {"count": len(FOLDS)}
    project.config["experiments"]["tiny"]["training"].update(epochs=1000, save_steps=100)
    project.save()
    project.run("--until", "statistics", "crops", where=Project.where)
    return project


@pytest.fixture(scope="module")
def reference(prepared):
    """The models that the trainings end with in peace, on this machine."""
    project = prepared.copied(prepared.folder.parent / "in peace")
    project.run("--until", "training", where=Project.where)
    return models(project)


@pytest.fixture
def project(prepared, tmp_path):
    """A copy in which nothing is trained yet."""
    yield (project := prepared.copied(tmp_path / "on a cluster"))
    for process in project.started:
        process.kill()  # where a test failed; others have ended


def models(project, folds=FOLDS):
    return [project.path(f"experiments/tiny/fold-{fold}/model.safetensors").read_bytes() for fold in folds]


def job_of(project, fold):
    """The number of the running training job of a fold that has saved."""
    number, state = project.jobs().get(f"rule_training_wildcards_tiny_{fold}", ("", ""))
    return number if state == "RUNNING" and project.checkpoint(fold) and processes_of(number) else None


def cancel(job):
    subprocess.run(["scancel", job], check=True)


def kill_everything(job):
    signalled(processes_of(job), signal.SIGKILL)


def trainings(jobs):
    """The processes of the scripts, which Snakemake and Slurm watch over."""
    each = [pid for job in jobs for pid in processes_of(job)]
    return [pid for pid in each if "training.py" in shown(pid, "cmdline")]


def shown(process, name):
    """What the kernel says of a process, nothing if it ended since."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/{name}").read_text(errors="replace")
    return ""


def signalled(processes, number):
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):  # it ended since
            os.kill(pid, number)


@contextlib.contextmanager
def held(jobs):
    """The trainings of these jobs stand still while the block runs, if that is not for too long."""
    found = trainings(jobs)
    given_up = threading.Timer(90, signalled, (found, signal.SIGCONT))
    given_up.start()
    signalled(found, signal.SIGSTOP)
    try:
        yield found
    finally:
        given_up.cancel()
        signalled(found, signal.SIGCONT)


def is_told(process):
    """Whether a process that stands still is asked to end, or has ended."""
    waiting = re.search(r"ShdPnd:\s*(\w+)", shown(process, "status"))
    return waiting is None or bool(int(waiting[1], 16) & 1 << signal.SIGTERM - 1)


def preempt(job):
    """A job of a partition that comes first takes the whole node, from all that run there."""
    node = subprocess.run(["squeue", "-h", "-j", job, "-o", "%N"], capture_output=True, text=True).stdout.strip()
    command = ["sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3"]
    subprocess.run(command, check=True, capture_output=True)


def limit(job, minutes):
    subprocess.run(["scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}"], check=True)


def end_soon(job):
    """Less time is left than the two minutes that a training is told to save in, but enough to be told and to save."""
    asked = ["squeue", "-h", "-j", job, "-O", "TimeUsed:20"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    hours_and_minutes = shown.split(":")[:-1]
    limit(job, sum(int(part) * 60**place for place, part in enumerate(reversed(hours_and_minutes))) + 2)


def starts(job):
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout
    return 1 + int(re.search(r"Restarts=(\d+)", shown)[1])


def test_cancelled_killed_preempted_and_over_the_time_limit(project, reference):
    process = project.start("--until", "training")
    over = project.until(lambda: job_of(project, 2))
    end_soon(over)
    with held([over]) as processes:  # or it might be done before Slurm looks, twice a minute
        for fold, end in enumerate([cancel, kill_everything]):
            end(project.until(lambda fold=fold: job_of(project, fold)))
        project.until(lambda: all(map(is_told, processes)))
    project.until(lambda: starts(over) == 2)
    limit(over, 60)
    preempt(project.until(lambda: job_of(project, 2)))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert models(project) == reference
    assert project.attempts(0) >= 2 and project.attempts(1) >= 2
    assert starts(over) == 3, "the first, after the time limit, after the preemption"
    logs = [path.read_text() for path in project.path("slurm_logs/rule_training").rglob(f"{over}*.log")]
    assert any(f"time limit of job {over}: it is queued again and goes on by itself" in text for text in logs)


def test_a_driver_that_was_killed(project, reference):
    """Trainings at work go on and are waited for; what else the killed Snakemake queued is cancelled."""
    project.config["datasets"]["boxes"]["folds"]["run"] = [0, 1]
    project.save()
    process = project.start("--until", "training")
    jobs = project.until(lambda: [job for fold in (0, 1) if (job := job_of(project, fold))])
    with held(jobs):  # or they might be done before the next Snakemake looks
        process.kill()
        process.wait()
        process.stdout.close()
        process = project.start("--until", "training")
        output = ""
        while "goes on training" not in output and (line := process.stdout.readline()):
            output += line
    output += process.stdout.read()
    assert process.wait() == 0, output
    assert "which was killed, are removed" in output
    assert all(f"job {job} of an earlier run, which was killed, goes on training" in output for job in jobs)
    assert models(project, (0, 1)) == reference[:2]
    assert project.attempts(0) == project.attempts(1) == 1


def test_the_demo_fills_the_cluster(cluster):
    shutil.copy2(TOP / "config/config.yaml", cluster.folder / "config/config.yaml")
    shorter = cluster.folder / "shorter.yaml"
    shorter.write_text("datasets: {nbody: {folds: {run: [0, 1]}}}\nexperiments: {vnet: {training: {epochs: 1}}}\n")
    output = cluster.run("--configfile", shorter.name)
    assert "The report is at" in output and cluster.path("report.html").exists()
    groups = {path.name for path in cluster.path("slurm_logs").iterdir()}
    grouped = {f"group_{name}_{name}" for name in ("simulation", "statistics", "crops")}
    assert grouped | {"rule_training", "rule_inference", "rule_evaluation"} <= groups
    assert len(list(cluster.path("slurm_logs/group_simulation_simulation").iterdir())) == 2  # 12 boxes, ten a job
    assert "Nothing to be done" in cluster.run("--configfile", shorter.name)
