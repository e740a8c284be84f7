"""The real Snakemake on a copy of the repository, in a folder whose name has blanks, quotes and an accent."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest
import yaml

TOP = Path(__file__).parents[2]
COPIED = ("workflow", "config", "m2m_core", "envs")
TINY = {
    "datasets": {
        "boxes": {
            "source": {"kind": "nbody", "samples": 5, "mesh": 8, "box_size": 32.0, "steps": 2},
            "folds": {"count": 2},
        }
    },
    "experiments": {
        "tiny": {
            "dataset": "boxes",
            "normalize": {"input": "displacement", "target": "displacement"},
            "crops": {"size": 8},
            "model": {"name": "vnet", "width": 2, "depth": 1, "padding": "periodic"},
            "training": {"epochs": 3, "batch_size": 2, "augment": ["flip", "permute", "shift"], "threads": 1},
        }
    },
}


class Project:
    """A copy of the repository with a config of its own; `run` is `python -m snakemake` in it."""

    where = ("--cores", "2")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.config = yaml.safe_load(yaml.safe_dump(TINY))
        self.save()

    def save(self) -> None:
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The project whose copy of the repository lies there."""
        project = object.__new__(cls)
        project.folder = folder
        project.config = yaml.safe_load((folder / "config/config.yaml").read_text())
        return project

    def copied(self, folder: Path) -> Self:
        """A copy with its results and Snakemake's memory of them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return self.of(folder)

    def start(
        self, *arguments: str, module: str = "snakemake", where: tuple[str, ...] | None = None, **options
    ) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": "", "COLUMNS": "200"}
        return subprocess.Popen(
            [sys.executable, "-m", module, *(where or self.where), *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )

    def run(self, *arguments: str, expected: int = 0, **options) -> str:
        process = self.start(*arguments, **options)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == expected, output
        return output

    def stale(self, *arguments: str) -> dict[str, int]:
        """Jobs of each rule that would run, by dry-run."""
        output = self.run("-n", *arguments)
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:")[1].split("total")[0]
        return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M) if name != "all"}

    def path(self, relative: str) -> Path:
        return self.folder / "results" / relative

    def models(self, experiment: str = "tiny") -> list[bytes]:
        return [self.path(f"experiments/{experiment}/fold-{k}/model.safetensors").read_bytes() for k in (0, 1)]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project in which everything has run once, for all processes of the tests; nobody writes there again."""
    top = tmp_path_factory.getbasetemp()
    top = top.parent if "PYTEST_XDIST_WORKER" in os.environ else top
    folder = top / "wörk flow" / 'it\'s "a" $(touch PWNED) place'
    said = top / "finished.txt"
    with open(top / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if said.exists():
            project = Project.of(folder)
        else:
            project = Project(folder)
            said.write_text(project.run())
    project.output = said.read_text()
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A copy of the finished project, with Snakemake's memory of it."""
    return finished.copied(tmp_path / "a copy")
