"""Whatever befalls a training on a cluster, it ends with the weights of one that was left in peace."""

import os
import signal
import subprocess

import pytest

from tests.slurm.conftest import processes_of

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
FOLDS = range(4)


@pytest.fixture
def long(cluster, tmp_path):
    """Four trainings of about a minute, and the models that they end with on this machine."""
    cluster.config["datasets"]["boxes"]["folds"] = {"count": 4}
    cluster.config["experiments"]["tiny"]["training"].update(epochs=1500, save_steps=100)
    cluster.save()
    reference = cluster.at_home(tmp_path / "in peace")
    reference.run("--until", "training")
    return cluster, models(reference)


def models(project):
    return [project.path(f"experiments/tiny/fold-{fold}/model.safetensors").read_bytes() for fold in FOLDS]


def job_of(project, fold):
    """The number of the running training job of a fold that has saved."""
    job = project.jobs().get(f"rule_training_wildcards_tiny_{fold}", ("", ""))
    return job[0] if job[1] == "RUNNING" and project.checkpoint(fold) and processes_of(job[0]) else None


def node_of(job):
    return subprocess.run(["squeue", "-h", "-j", job, "-o", "%N"], capture_output=True, text=True).stdout.strip()


def cancel(job):
    subprocess.run(["scancel", job], check=True)


def kill_everything(job):
    for pid in processes_of(job):
        os.kill(pid, signal.SIGKILL)


def preempt(job):
    """A job of a partition that comes first takes the whole node."""
    command = ["sbatch", "-p", "urgent", "-w", node_of(job), "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3"]
    subprocess.run(command, check=True, capture_output=True)


def requeue(job):
    subprocess.run(["scontrol", "requeue", job], check=True)


def test_cancelled_killed_preempted_and_requeued(long):
    project, reference = long
    process = project.start("--until", "training")
    for fold, befall in enumerate([cancel, kill_everything, requeue, preempt]):
        befall(project.until(lambda fold=fold: job_of(project, fold)))
    output, _ = process.communicate(timeout=420)
    assert process.returncode == 0, output
    assert models(project) == reference
    assert all(project.attempts(fold) >= 2 for fold in FOLDS)


def test_over_the_time_limit(long):
    """The limit of a minute is met by all four: each is queued again by itself, and no retry is used."""
    project, reference = long
    limit = ("--set-resources", "training:runtime=1", "training:slurm_extra=--signal=TERM@30", "--retries", "0")
    process = project.start("--until", "training", *limit)
    output, _ = process.communicate(timeout=540)
    assert process.returncode == 0, output
    assert models(project) == reference
    assert max(project.attempts(fold) for fold in FOLDS) >= 2
    logs = [path.read_text() for path in project.path("logs/training/tiny").glob("*.log")]
    assert any("it is queued again and goes on by itself" in text for text in logs)


def test_a_driver_that_was_killed(long):
    """Trainings at work go on and are waited for; what else the killed Snakemake queued is cancelled."""
    project, reference = long
    process = project.start("--until", "training", "--jobs", "2")
    jobs = project.until(lambda: [job for fold in FOLDS if (job := job_of(project, fold))])
    process.kill()
    process.wait()
    process.stdout.close()
    output = project.run("--until", "training")
    assert "which was killed, are removed" in output
    assert f"job {jobs[0]} of an earlier run, which was killed, goes on training: it is waited for" in output
    assert models(project) == reference
    assert project.attempts(int(project_fold(project, jobs[0]))) == 1


def project_fold(project, job):
    """The fold that a job trained."""
    logs = project.path("slurm_logs").glob(f"rule_training/tiny_*/{job}.log")
    return next(logs).parent.name.removeprefix("tiny_")
