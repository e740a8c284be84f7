"""Everything that is shipped loads: profiles, studies, the commands of the README."""

import re
from pathlib import Path

import numpy as np
import pytest
import yte

from m2m_core import yamlfile

from .conftest import Project

pytestmark = pytest.mark.workflow

TOP = Path(__file__).parents[2]
HEADER = {"descr": "<f4", "fortran_order": False, "shape": (3, 512, 512, 512)}
STUDIES = sorted(TOP.glob("config/studies/*.yaml"))


@pytest.fixture(scope="module")
def with_fake_files(tmp_path_factory):
    """A project beside the files that the published studies name, a few of them, nothing but headers and holes."""
    project = Project(tmp_path_factory.mktemp("studies") / "project")
    for k in range(4):
        for name in ("za", "nbody"):
            path = project.folder / f"data/quijote/{k}/{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as stream:
                np.lib.format.write_array_header_1_0(stream, HEADER)
                stream.truncate(stream.tell() + 4 * 3 * 512**3)
    (project.folder / "data/gravity").mkdir()
    (project.folder / "data/gravity/data_z1.0.h5").write_bytes(b"nothing")
    return project


@pytest.mark.parametrize("path", [TOP / "config/config.yaml", *STUDIES], ids=lambda path: path.stem)
def test_every_shipped_config_dry_runs(with_fake_files, path):
    assert "training" in with_fake_files.run("-n", "--configfile", str(path))


def test_the_default_is_the_small_study():
    assert yamlfile.read(TOP / "config/config.yaml") == yamlfile.read(TOP / "config/studies/emulation-small.yaml")


def test_the_slurm_profile_dry_runs(project):
    (project.folder / "slurm").unlink(missing_ok=True)
    (project.folder / "slurm").symlink_to("workflow/profiles/slurm")
    output = project.run("-n", "--profile", "slurm", "--forceall")
    assert "training" in output


def test_every_rule_that_takes_a_gpu_goes_where_gpus_are():
    with open(TOP / "workflow/profiles/slurm/config.v9+.yaml") as stream:
        profile = yte.process_yaml(stream)
    text = "\n".join(path.read_text() for path in (TOP / "workflow/rules").glob("*.smk"))
    rules = re.split(r"^rule ", text, flags=re.M)[1:]
    given = {rule.partition(":")[0] for rule in rules if "gpu=" in rule}
    asked = {name for name, resources in profile["set-resources"].items() if "gpu" in resources}
    assert {"training", "search"} <= given
    for name in sorted(given | asked):
        assert profile["set-resources"][name]["slurm_partition"] == "gpu", name
    for name in sorted(given):
        assert "--signal=TERM@120" in profile["set-resources"][name]["slurm_extra"], name


def test_the_linter_has_nothing_to_say(project):
    assert "Congratulations" in project.run("--lint")


def test_the_readme_names_commands_that_exist():
    text = (TOP / "README.md").read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (TOP / "Makefile").read_text(), re.M))
    used = set(re.findall(r"[`$] ?make ([\w-]+)", text))
    assert {"demo", "test"} <= used <= targets
    for path in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (TOP / path).exists(), path
