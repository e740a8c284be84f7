"""A real Slurm of two virtual nodes on this machine; a Slurm that is not ours is never touched."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

CLUSTER = Path(__file__).with_name("cluster.sh")
CONFIGURED = Path("/etc/slurm/slurm.conf")
STATE = Path("/var/lib/slurm-ci")  # made by cluster.sh
SIZE = {"SLURM_DB": "0", "SLURM_MEM": "64000", "SLURM_CPUS": "16"}  # what the two nodes claim to have


def why_not() -> str:
    """Why no Slurm can be set up here, empty if it can."""
    if os.geteuid() != 0:
        return "setting up a Slurm for tests needs root"
    configured = "ClusterName=ci" in CONFIGURED.read_text() if CONFIGURED.exists() else STATE.exists()
    if shutil.which("sbatch") and not configured:
        return "this machine has a Slurm of its own, which tests leave alone"
    if not shutil.which("sbatch") and not shutil.which("apt-get"):
        return "Slurm can be installed on Debian and its kin only"
    return ""


@pytest.fixture(scope="session")
def slurm():
    """The running Slurm."""
    if reason := why_not():
        pytest.skip(reason)
    steps = ["configure", "start"] if shutil.which("sbatch") else ["install", "configure", "start"]
    done = subprocess.run(["bash", CLUSTER, *steps], env=os.environ | SIZE, capture_output=True, text=True)
    if done.returncode and "install" in steps and not shutil.which("sbatch"):
        pytest.skip(f"Slurm could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    yield
    subprocess.run(["bash", CLUSTER, "stop"], env=os.environ | SIZE, capture_output=True)


class ClusterProject(Project):
    """A copy of the repository that runs `snakemake --profile slurm`."""

    where = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")
    started: tuple[subprocess.Popen, ...] = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "slurm").symlink_to("workflow/profiles/slurm")

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        process = super().start(*arguments, **options)
        self.started = (*self.started, process)
        return process

    def jobs(self, rule: str = "rule_training") -> dict[str, tuple[str, str]]:
        """Rule with wildcards -> (number, state) of this user's jobs in the queue."""
        command = ["squeue", "-h", "-t", "all", "-o", "%i|%T|%k|%Z"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        rows = [line.split("|") for line in lines if line.endswith(f"|{self.folder}")]
        return {comment: (number, state) for number, state, comment, _ in rows if comment.startswith(rule)}

    def until(self, what, seconds: float = 180):
        """The first true value of `what()`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := what():
                return value
            time.sleep(0.2)
        raise AssertionError(f"waited {seconds} s; queue: {self.jobs('')}")

    def checkpoint(self, fold: int) -> bool:
        """Whether the training of a fold has saved."""
        return bool(list(self.path("experiments/tiny").glob(f"fold-{fold}/training/*/last.pt")))

    def attempts(self, fold: int) -> int:
        """How many processes the training of a fold took."""
        record = self.path(f"experiments/tiny/fold-{fold}/training.json").read_text()
        return int(re.search(r'"attempts": (\d+)', record)[1])


def processes_of(job: str) -> list[int]:
    """The processes that Slurm started for a job."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURM_JOB_ID={job}".encode() in environment:
            found.append(int(pid))
    return found


@pytest.fixture
def cluster(slurm, tmp_path) -> ClusterProject:
    """A project on the cluster."""
    return ClusterProject(tmp_path / "on a cluster")
