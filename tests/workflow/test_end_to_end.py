"""From an empty folder to the report, and what a user sees on the way."""

import csv
import re

import h5py
import numpy as np
import pytest

from m2m_core.data.catalogue import Catalogue

pytestmark = pytest.mark.workflow


def test_the_run_ends_with_a_report_and_says_where_it_is(finished):
    page = finished.path("report.html")
    assert f"The report is at {page}" in finished.output
    html = page.read_text()
    assert "2LPT" in html and "data:image/svg+xml" in html
    assert not re.search(r"""(src|href)=["']?https?:""", html)


def test_a_second_run_has_nothing_to_do(project):
    stamp = project.path("report.html").stat().st_mtime_ns
    assert "Nothing to be done" in project.run()
    assert project.path("report.html").stat().st_mtime_ns == stamp


def test_nothing_of_a_path_was_executed_and_nothing_half_written_is_left(finished):
    everything = list(finished.folder.parent.rglob("*"))
    assert not [path for path in everything if path.name == "PWNED"]
    assert not [path for path in everything if path.name.endswith(".tmp")]


def test_every_held_out_sample_is_predicted_and_judged_once_with_its_baselines(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    catalogue = Catalogue.read(finished.path("datasets/boxes/catalogue.csv"))
    judged = []
    for fold in (0, 1):
        folder = finished.path(f"experiments/tiny/fold-{fold}")
        held_out = {sample.id for sample in catalogue.held_out(fold)}
        with h5py.File(folder / "predictions.h5") as file:
            assert set(file) == held_out
            assert all(np.isfinite(file[name][...]).all() and file[name].fletcher32 for name in file)
        rows = list(csv.DictReader(open(folder / "evaluation.csv")))
        assert {row["sample"] for row in rows} == held_out
        assert {row["source"] for row in rows} == {"emulator", "input", "2lpt"}
        assert {row["field"] for row in rows} == {"displacement", "density"}
        judged += held_out
    assert sorted(judged) == sorted(sample.id for sample in catalogue.samples)


def test_statistics_are_of_the_training_samples_alone(finished, monkeypatch):
    import json

    monkeypatch.chdir(finished.folder)
    catalogue = Catalogue.read(finished.path("datasets/boxes/catalogue.csv"))
    for fold in (0, 1):
        fields = []
        for sample in catalogue.training(fold):
            with h5py.File(finished.path(f"datasets/boxes/fields/{sample.id}.h5")) as file:
                fields.append(file["target"][...].astype(float))
        pooled = json.loads(finished.path(f"experiments/tiny/fold-{fold}/statistics.json").read_text())["target"]
        values = np.stack(fields, 1).reshape(3, -1)
        np.testing.assert_allclose(pooled["mean"], values.mean(1), rtol=0, atol=1e-12 * values.std())
        np.testing.assert_allclose(pooled["std"], values.std(1), rtol=1e-12)


def test_npy_files_exported_from_the_simulator_give_the_same_crops_and_models(finished, project):
    """The same numbers through another reader, in Fortran order and another byte order for good measure."""
    data = project.folder / "my data"
    data.mkdir()
    for file in sorted(finished.path("datasets/boxes/fields").glob("*.h5")):
        with h5py.File(file) as fields:
            np.save(data / f"in_{file.stem}.npy", np.asfortranarray(fields["input"][...]))
            np.save(data / f"out_{file.stem}.npy", fields["target"][...].astype(">f4"))
    quantities = {"input": "displacement", "target": "displacement"}
    project.config["datasets"]["boxes"]["source"] = {
        "kind": "npy", "input": ["my data/in_*.npy"], "target": ["my data/out_*.npy"], "box_size": 32.0,
        "quantities": quantities,
    }  # fmt: skip
    project.save()
    project.run("--until", "training")
    assert project.models() == finished.models()
    crops = "experiments/tiny/crops.npz"
    ours, theirs = np.load(project.path(crops)), np.load(finished.path(crops))
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs.files)


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_a_bad_file_ends_with_one_line_and_the_exit_code_of_data(project, damage):
    data = project.folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        for side in ("in", "out"):
            np.save(data / f"{side}_{i}.npy", rng.normal(size=(1, 8, 8, 8)).astype("f4"))
    bad = data / "out_2.npy"
    if damage == "cut":
        bad.write_bytes(bad.read_bytes()[:-1])
    else:
        field = np.load(bad)
        field[0, 1, 2, 3] = np.nan
        np.save(bad, field)
    project.config["datasets"]["boxes"]["source"] = {
        "kind": "npy",
        "input": ["data/in_*.npy"],
        "target": "data/out_*.npy",
    }
    project.config["experiments"]["tiny"]["normalize"] = {"input": "standardise", "target": "standardise"}
    project.save()
    output = project.run(expected=3)
    lines = {line for line in output.splitlines() if "error: " in line and "out_2.npy" in line}
    assert len(lines) == 1, output
    assert "Traceback" not in output
    project_errors = project.folder / "results/logs/errors.jsonl"
    assert project_errors.read_text().count("\n") == 1


def test_when_a_fold_fails_the_others_are_finished_and_reported(project):
    for checkpoint in project.path("experiments/tiny/fold-1/training").glob("*/last.pt"):
        checkpoint.write_bytes(b"torn")
    project.config["experiments"]["tiny"]["training"]["epochs"] = 4
    project.config["experiments"]["tiny"]["evaluation"] = ["mean_square_error"]
    project.save()
    output = project.run(expected=4)
    assert "training tiny 1: error: " in output and "last.pt: not a readable checkpoint" in output
    assert f"A report of what is there is at {project.path('report-partial.html')}" in output
    page = project.path("report-partial.html").read_text()
    assert "1 of 2 folds evaluated" in page
    for checkpoint in project.path("experiments/tiny/fold-1/training").glob("*/last.pt"):
        checkpoint.unlink()
    project.run()
    assert "2 of 2 folds evaluated" in project.path("report.html").read_text()
    assert not project.path("report-partial.html").exists()


def test_a_bad_config_ends_at_once_with_one_line_and_its_exit_code(project):
    project.config["experiments"]["tiny"]["model"]["widht"] = 4
    project.save()
    output = project.run(expected=2)
    assert "experiments.tiny.model.widht" in output and "'width'" in output
    assert "Traceback" not in output


def test_overrides_go_through_the_same_door(project):
    assert "training" in project.stale("--config", "experiments={tiny: {training: {epochs: 5}}}")
    output = project.run("-n", "--config", "experiments={tiny: {training: {epochs: many}}}", expected=2)
    assert "experiments.tiny.training.epochs" in output
    overlay = project.folder / "overlay.yaml"
    overlay.write_text("experiments: {tiny: {training: {epochs: 5}}}\n")
    assert "training" in project.stale("--configfile", "overlay.yaml")
    overlay.write_text("experiments: {tiny: {training: {epochs: 5, epochs: 6}}}\n")
    assert "duplicate key" in project.run("-n", "--configfile", "overlay.yaml", expected=2)


def test_the_snakemake_report_is_made_too(project):
    project.run("--report", "snakemake-report.html")
    assert (project.folder / "snakemake-report.html").stat().st_size > 10**6
