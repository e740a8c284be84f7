"""Everything that is shipped loads: profiles, studies, the commands of the README."""

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.workflow

TOP = Path(__file__).parents[2]
STUDIES = sorted(TOP.glob("config/studies/*.yaml"))


@pytest.fixture
def with_fake_files(finished):
    """The files that the published study names, a few of them, empty but for their headers and holes."""
    for k in range(4):
        for name in ("za", "nbody"):
            path = finished.folder / "data/quijote" / str(k) / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(path, "w+", "<f4", (3, 512, 512, 512)).flush()
    return finished


@pytest.mark.parametrize("path", [TOP / "config/config.yaml", *STUDIES], ids=lambda path: path.stem)
def test_every_shipped_config_dry_runs(with_fake_files, path):
    output = with_fake_files.run("-n", "--configfile", str(path), "--directory", str(with_fake_files.folder))
    assert "training" in output


def test_the_slurm_profile_dry_runs(finished):
    (finished.folder / "slurm").unlink(missing_ok=True)
    (finished.folder / "slurm").symlink_to("workflow/profiles/slurm")
    output = finished.run("-n", "--profile", "slurm", "--forceall")
    assert "training" in output


def test_the_linter_has_nothing_to_say(finished):
    assert "Congratulations" in finished.run("--lint")


def test_the_readme_names_commands_that_exist():
    text = (TOP / "README.md").read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (TOP / "Makefile").read_text(), re.M))
    used = set(re.findall(r"[`$] ?make ([\w-]+)", text))
    assert {"demo", "test"} <= used <= targets
    for path in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (TOP / path).exists(), path
