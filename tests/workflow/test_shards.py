"""Large datasets in shards, seen through the real Snakemake; what is large is made small by an edit of the copy."""

import os

import numpy as np
import pytest

from .conftest import Project

pytestmark = pytest.mark.workflow

CATALOGUE = "results/datasets/boxes/catalogue.csv"


@pytest.fixture
def small_shards(tmp_path):
    project = Project(tmp_path / "shards")
    path = project.folder / "m2m_core/data/shards.py"
    path.write_text(path.read_text().replace("FEW = 200", "FEW = 2").replace("MANY = 500", "MANY = 3"))
    return project


def test_simulated_samples_in_ranges(small_shards):
    project = small_shards
    source = project.config["datasets"]["boxes"]["source"]
    source["samples"] = 7
    project.save()
    assert project.stale(CATALOGUE) == {"simulation": 2, "simulations": 2, "catalogue": 1}
    project.run(CATALOGUE)
    before = project.path("datasets/boxes/catalogue.csv").read_text()
    assert project.stale(CATALOGUE) == {}
    project.config["datasets"]["boxes"]["shard"] = 1
    project.save()
    assert project.stale(CATALOGUE) == {}

    fields = project.path("datasets/boxes/fields")
    stamps = {file.name: file.stat().st_mtime_ns for file in fields.iterdir()}
    (fields / "0003.h5").unlink()  # as if the job had been killed: no table, not all fields
    project.path("datasets/boxes/shards/2-5.csv").unlink()
    project.path("datasets/boxes/catalogue.csv").unlink()
    project.config["datasets"]["boxes"]["shard"] = 3
    project.save()
    project.run(CATALOGUE)
    assert project.path("datasets/boxes/catalogue.csv").read_text() == before
    assert {file.name for file in fields.iterdir() if file.stat().st_mtime_ns != stamps[file.name]} == {"0003.h5"}

    source["samples"] = 9
    project.save()
    assert project.stale(CATALOGUE) == {"simulations": 1, "catalogue": 1}
    source["seed"] = 5
    project.save()
    assert project.stale(CATALOGUE) == {"simulation": 2, "simulations": 3, "catalogue": 1}


def test_found_samples_in_parts(small_shards):
    project = small_shards
    data = project.folder / "data"
    data.mkdir()
    for n in range(9):
        for seed, side in enumerate(("in", "out")):
            np.save(data / f"{side}_{n}.npy", np.random.default_rng([seed, n]).normal(size=(3, 4, 4, 4)).astype("f4"))
    section = project.config["datasets"]["boxes"]
    section["source"] = {"kind": "npy", "input": "data/in_*.npy", "target": "data/out_*.npy"}
    project.save()
    parts = project.stale(CATALOGUE)["inspection"]
    assert 1 < parts <= 4
    project.run(CATALOGUE)
    before = project.path("datasets/boxes/catalogue.csv").read_text()
    section["shard"] = 1
    project.save()
    assert project.stale(CATALOGUE) == {}

    replaced = data / "out_4.npy"
    np.save(replaced, 1 + np.load(replaced))
    os.utime(replaced, (1.0e9, 1.0e9))
    assert project.stale(CATALOGUE) == {"inspection": 1, "catalogue": 1}
    project.run(CATALOGUE)
    after = project.path("datasets/boxes/catalogue.csv").read_text()
    assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1
    for side in ("in", "out"):
        (data / f"{side}_8.npy").unlink()
    assert project.stale(CATALOGUE)["catalogue"] == 1
    np.save(data / "in_8.npy", np.zeros((3, 4, 4, 4), "f4"))
    assert "target lacks 8" in project.run("-n", CATALOGUE, expected=3)


def test_a_large_file_of_many_cubes_in_parts_by_its_bytes(tmp_path):
    """Nothing of it is read to know its jobs: it is not even HDF5 yet."""
    project = Project(tmp_path / "cubes")
    with open(project.folder / "cubes.h5", "wb") as file:
        file.truncate(40 * 2**30)  # takes no room on the disk
    source = {
        "kind": "cubes",
        "input": "cubes.h5",
        "dataset": "{theory}_seed{seed}",
        "labels": {"gr": {"theory": "gr"}},
    }
    tells = {"task": {"name": "field_to_label", "labels": ["gr"]}, "crops": {"kind": "slices"}, "model": "racoon"}
    project.config["datasets"] = {"boxes": {"source": source}, "new": {"source": {**source, "labels": {}}}}
    project.config["experiments"] = {"tiny": {"dataset": "boxes", **tells, "normalize": {"input": "standardise"}}}
    project.config["predictions"] = {"told": {"experiment": "tiny", "dataset": "new", "folds": [0, 1]}}
    project.save()
    assert project.stale(CATALOGUE) == {"inspection": 4, "catalogue": 1}
    wanted = project.stale("predict")
    assert wanted == {
        "inspection": 8, "catalogue": 2, "moments": 1, "statistics": 2, "crops": 1, "training": 2,
        "admission": 1, "prediction": 2, "answers": 1, "predict": 1,
    }  # fmt: skip
