"""What leaves the workflow: emulators as single files, and an archive from which the report is made again."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.workflow

FIGURE = """
from m2m_core.registry import register

@register("figure", "mine")
def mine(results):
    \"\"\"A figure of somebody's own, which reads a field.\"\"\"
    from matplotlib.figure import Figure
    sample = results.catalogue.samples[0]
    figure = Figure()
    figure.subplots().imshow(results.region(sample, "target")[0, 0])
    return figure
"""
OUTSIDE = """
import sys
sys.path.insert(0, ".")
import numpy
za = numpy.load("in.npy")
{}
numpy.save("out.npy", nbody)
"""
README = (Path(__file__).parents[2] / "README.md").read_text()


# ---- export


def test_export_makes_an_emulator_of_every_fold_that_repeats_its_predictions(project, tmp_path):
    assert project.stale("export") == {"emulator": 2, "export": 1}
    project.run("export")
    assert project.stale("export") == project.stale() == {}
    for fold in (0, 1):
        folder = tmp_path / f"outside {fold}"
        folder.mkdir()
        (folder / "emulator.pt2").write_bytes(project.path(f"experiments/tiny/fold-{fold}/emulator.pt2").read_bytes())
        with zipfile.ZipFile(folder / "emulator.pt2") as file:
            (folder / "emulate.py").write_bytes(file.read("archive/extra/emulate.py"))
            assert json.loads(file.read("archive/extra/about.json"))["fold"] == fold
        with h5py.File(project.path(f"experiments/tiny/fold-{fold}/predictions.h5")) as predictions:
            name, expected = next((name, predictions[name][...]) for name in predictions)
        with h5py.File(project.path(f"datasets/boxes/fields/{name}.h5")) as file:
            np.save(folder / "in.npy", file["input"][...])
        code = OUTSIDE.format(re.search(r"```python\n(.*?)```", README, re.S)[1])
        subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, check=True)
        assert np.array_equal(np.load(folder / "out.npy"), expected)


def test_one_emulator_is_asked_for_by_its_path(project):
    assert project.stale("results/experiments/tiny/fold-1/emulator.pt2") == {"emulator": 1}


# ---- archive


def unpack(project, folder, name="archive.zip"):
    with zipfile.ZipFile(project.path(name)) as archive:
        archive.extractall(folder)
    return folder / "m2m-archive"


def again(folder, expected=0):
    """What making the report again says."""
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-m", "m2m_core.archive"], cwd=folder, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def archived(finished, tmp_path_factory):
    """A copy of the finished project, archived."""
    project = finished.copied(tmp_path_factory.mktemp("archived") / "a copy")
    project.archive_output = project.run("archive")
    return project


def test_the_report_is_made_again_from_the_archive_alone(archived, tmp_path):
    assert "kept as they are: tiny slices" in archived.archive_output
    folder = unpack(archived, tmp_path)
    assert not list(folder.rglob("*.h5"))
    said = again(folder)
    for figure in ("correlation", "learning", "one_point", "power", "transfer"):
        assert f"tiny {figure}: the same bytes" in said
        original = archived.path(f"experiments/tiny/figures/{figure}.svg").read_bytes()
        assert (folder / f"reproduced/tiny/{figure}.svg").read_bytes() == original
    assert "tiny slices: as it was packed: it shows fields" in said
    assert (folder / "reproduced/report.html").read_bytes() == archived.path("report.html").read_bytes()
    assert "reproduced/report.html: the same bytes as results/report.html" in said
    models = [(folder / f"results/experiments/tiny/fold-{k}/model.safetensors").read_bytes() for k in (0, 1)]
    assert models == archived.models()


def test_snakemake_in_the_unpacked_archive_has_nothing_to_do(archived, tmp_path):
    other = archived.of(unpack(archived, tmp_path))
    assert other.stale() == other.stale("results/report.html") == {}
    assert other.stale("--forceall")["training"] == 2  # and can do everything again


def test_other_evaluations_make_another_report(archived, tmp_path):
    """The report is really made of what is in the archive."""
    folder = unpack(archived, tmp_path)
    path = folder / "results/experiments/tiny/fold-0/evaluation.csv"
    path.write_text(path.read_text().replace("emulator,displacement", "input,displacement", 1))
    assert "archive: error: results/experiments/tiny/fold-0/evaluation.csv: damaged: sha256" in again(folder, 3)
    manifest = folder / "MANIFEST.sha256"
    lines = [line for line in manifest.read_text().splitlines(True) if not line.endswith("fold-0/evaluation.csv\n")]
    manifest.write_text("".join(lines))
    assert "not the bytes of results/report.html; versions are the same" in again(folder)


def test_the_same_results_make_the_same_bytes_and_edits_make_it_stale(project):
    project.run("archive")
    before = project.path("archive.zip").read_bytes()
    assert project.stale("archive") == {}
    project.run("archive", "--forcerun", "archive")
    assert project.path("archive.zip").read_bytes() == before
    with zipfile.ZipFile(project.path("archive.zip")) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    page = project.folder / "m2m_core/report/page.py"
    page.write_text(page.read_text() + "\n# a comment\n")
    assert project.stale("archive") == {"archive": 1}  # another code, the same results


def test_what_is_stale_is_made_before_it_is_archived(project):
    project.config["experiments"]["tiny"]["evaluation"] = ["mean_square_error"]
    project.save()
    assert {"evaluation", "report", "archive"} <= set(project.stale("archive"))


def test_overrides_plugins_and_predictions_are_packed(project, tmp_path):
    """A config of several files, a plugin and results that lie elsewhere, and predictions on demand."""
    plugin = tmp_path / "some where" / "mine.py"
    plugin.parent.mkdir()
    plugin.write_text(FIGURE)
    results = tmp_path / "results elsewhere"
    overlay = {
        "plugins": [str(plugin)],
        "results": str(results),
        "datasets": {"boxes": {"folds": {"run": [0]}}},
        "experiments": {"tiny": {"training": {"epochs": 1}, "evaluation": ["power_spectrum"]}},
        "ablations": {"width": {"of": "tiny", "vary": {"model.width": [2, 3]}}},
    }
    (project.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    target = str(results / "archive-with-predictions.zip")
    output = project.run("archive_with_predictions", "--configfile", "overlay.yaml")
    assert not re.search("kept as they are: .*tiny mine", output)  # it can be drawn where the fields are
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "un packed")
    folder = tmp_path / "un packed" / "m2m-archive"
    assert len(list(folder.rglob("predictions.h5"))) == 2  # those of width 2 are those of the base
    assert yaml.safe_load((folder / "config/config.yaml").read_text())["plugins"] == ["plugins/0/mine.py"]
    for path in results.glob("datasets/*/fields/*"):
        path.unlink()
    said = again(folder)
    assert "width-3 power: the same bytes" in said and "tiny mine: as it was packed: DataError" in said
    assert "reproduced/report.html: the same bytes" in said
    assert project.of(folder).stale() == {}
