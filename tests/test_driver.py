"""One Snakemake at a time on a folder of results, and what becomes of the jobs of one that was killed."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from m2m_core import driver, lock

OWNER = "import sys; from m2m_core import driver; driver.own(sys.argv[1]); print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def killed(tmp_path):
    """A results folder whose Snakemake was killed, and the folder of Snakemake's locks with one of its own."""
    results, locks = tmp_path / "results", tmp_path / "locks"
    locks.mkdir()
    (locks / "0.output.lock").write_text(f"{results}/report.html\n{results}/a.csv\n")
    command = [sys.executable, "-c", OWNER, str(results)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    assert driver.forget_killed(results, locks) == ""  # it lives
    process.kill()
    process.communicate()
    return results, locks, process.pid


def test_a_killed_snakemake_is_forgotten(killed):
    results, locks, pid = killed
    (locks / "1.output.lock").write_text("elsewhere/report.html\n")
    assert driver.forget_killed(results, locks) == f"process {pid} on {socket.gethostname()}"
    assert [path.name for path in locks.iterdir()] == ["1.output.lock"]
    assert driver.forget_killed(results, locks) == ""


def test_one_of_another_machine_is_not(killed):
    results, locks, _ = killed
    (results / ".lock").write_text("process 1 on another.host, beat 000000001")
    assert driver.forget_killed(results, locks) == "" and list(locks.iterdir())


def test_what_ended_well_says_goodbye(tmp_path):
    subprocess.run([sys.executable, "-c", OWNER, str(tmp_path)], input="", text=True, check=True, capture_output=True)
    assert lock.last_owner(tmp_path) == ""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A Slurm whose queue holds the given lines, and what was asked of it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "queue").write_text("")
    for name in ("squeue", "scancel"):
        (folder / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n[ {name} = squeue ] && cat {tmp_path}/queue\n'
        )
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "queue"


def test_jobs_of_a_killed_run_are_cancelled_but_for_trainings_at_work(tmp_path, queue):
    assert list(driver.take_over(tmp_path / "results", "run-1")) == []
    queue.write_text(
        "11|RUNNING|run-1|rule_training_wildcards_vnet_0\n12|PENDING|run-1|rule_training_wildcards_vnet_1\n"
        "13|RUNNING|run-1|rule_evaluation_wildcards_vnet_2\n14|RUNNING|somebody-else|rule_training\nnoise\n"
    )
    said = list(driver.take_over(tmp_path / "results", "run-2"))
    assert said == [
        "jobs 12, 13 of an earlier run, which was killed, are cancelled",
        "job 11 of an earlier run, which was killed, goes on training: it is waited for",
    ]
    assert (tmp_path / "asked").read_text().splitlines()[-1] == "scancel 12 13"
    assert json.loads((tmp_path / "results" / driver.RUNS).read_text()) == ["run-1", "run-2"]


def test_without_slurm_nothing_is_asked(tmp_path, queue):
    assert list(driver.take_over(tmp_path / "results", None)) == []
    assert not (tmp_path / "asked").exists() and not (tmp_path / "results").exists()


def test_a_slurm_that_is_gone_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / driver.RUNS).write_text('["run-1"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(driver.take_over(tmp_path, "run-2")) == []
    assert list(driver.take_over(tmp_path, None)) == []
