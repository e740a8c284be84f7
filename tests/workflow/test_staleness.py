"""Edits on finished results, seen by real dry runs: one key of every row of the README, code, files, lost memory."""

import copy
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from . import plans
from .conftest import Project
from .edits import PLUGIN, SEARCH
from .test_matrix import GROUPS, columns, table

pytestmark = pytest.mark.workflow

ASKED = {"search", "export", "archive", "prediction"}  # columns of stages that the tiny study has not; see test_matrix
KEYS = {  # a key of each row, with another value
    "source": ("datasets.boxes.source.seed", 9),
    "folds": ("datasets.boxes.folds.seed", 9),
    "folds.run": ("datasets.boxes.folds.run", [0]),
    "normalize.target.transform": ("experiments.tiny.normalize.target", {"transform": "log1p"}),
    "normalize": ("experiments.tiny.normalize.target", "standardise"),
    "crops": ("experiments.tiny.crops.size", 4),
    "model": ("experiments.tiny.model.width", 3),
    "training": ("experiments.tiny.training.epochs", 5),
    "inference": ("experiments.tiny.inference", {"tile": 4}),
    "evaluation": ("experiments.tiny.evaluation", ["mean_square_error"]),
    "ablations": ("ablations.width", {"of": "tiny", "vary": {"model.width": [2, 3]}}),
    "training.workers": ("experiments.tiny.training.workers", 1),
    "results": ("results", "elsewhere"),
}
ALONE = {"dataset", "ablations.search", "predictions"}  # rows that need more than the tiny study: see test_matrix
WORDS = {
    "source": "catalogue boxes: datasets.boxes.source.seed 1 -> 9",
    "folds": "catalogue boxes: datasets.boxes.folds.seed 0 -> 9",
    "normalize": "statistics tiny 0-1: experiments.tiny.normalize.target.scaling displacement -> standardise",
    "crops": "crops tiny: experiments.tiny.crops.size 8 -> 4",
    "model": "training tiny 0-1: experiments.tiny.model.width 2 -> 3",
    "training": "training tiny 0-1: experiments.tiny.training.epochs 3 -> 5",
    "inference": "inference tiny 0-1: experiments.tiny.inference.tile null -> 4",
    "evaluation": "evaluation tiny 0-1: experiments.tiny.evaluation [power_spectrum, cross_correlation, mean_square_e",
    "ablations": "training width-3 0-1: never made",
    "training.workers": "report: experiments.tiny.training.workers null -> 1",
}


def edit(project: Project, place: str, value) -> dict:
    config = copy.deepcopy(project.config)
    *parents, last = place.split(".")
    node = config
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return config


@pytest.fixture(scope="module")
def planned(finished, tmp_path_factory) -> dict[str, tuple[dict[str, int], list[str]]]:
    """What runs again after an edit of each of KEYS, and why."""
    folder = finished.copied(tmp_path_factory.mktemp("keys") / "project").folder
    configs = {name: edit(finished, *change) for name, change in KEYS.items()}
    with plans.processes() as pool:
        return dict(zip(configs, pool.submit(plans.stale_each, folder, [*configs.values()]).result(), strict=True))


def test_every_row_is_tried():
    assert {GROUPS[name] for name in KEYS} | {GROUPS[name] for name in ALONE} == set(GROUPS.values())


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_each_row(planned, name):
    assert columns(set(planned[name][0])) == table()[GROUPS[name]] - ASKED


@pytest.mark.parametrize("name", WORDS)
def test_the_key_is_named_as_the_reason(planned, name):
    assert any(line.startswith(WORDS[name]) for line in planned[name][1]), "\n".join(planned[name][1])


def test_what_follows_names_what_it_waits_for(planned):
    assert "inference tiny 0-1: made anew: model.safetensors, training.json by training" in planned["model"][1]


def test_an_ablation_shares_what_it_does_not_change(planned):
    stale = planned["ablations"][0]
    assert stale["training"] == stale["inference"] == stale["evaluation"] == 2  # width 3; width 2 is the base


# ---- code

TRAINED = {"training", "inference", "evaluation", "figure", "report"}
CODE = {  # file: row of the README
    "m2m_core/models/unet.py": "code that is not chosen; comments, docstrings, layout, dates",
    "m2m_core/losses/pointwise.py": "code of a chosen model, discriminator or loss, of training",
    "m2m_core/models/vnet.py": "code of a chosen model, discriminator or loss, of training",
    "m2m_core/training/loop.py": "code of a chosen model, discriminator or loss, of training",
    "m2m_core/crops.py": "code of crops",
    "m2m_core/metrics/one_point.py": "code of a chosen metric, of an evaluation's script",
    "m2m_core/metrics/helmholtz.py": "code that is not chosen; comments, docstrings, layout, dates",
    "workflow/scripts/evaluation.py": "code of a chosen metric, of an evaluation's script",
    "m2m_core/report/figures/power.py": "code of a figure",
    "m2m_core/report/page.html": "code of the report page",
    "m2m_core/simulations/nbody.py": "code of a simulator",
}


def test_every_row_of_code_is_tried():
    assert {row for row in table() if row.startswith("code")} == set(CODE.values())


def graph(project: Project) -> dict:
    """All jobs of the project with a search and a prediction beside, those that run when asked for as well."""
    more = {"ablations": {"tuned": SEARCH}, "predictions": {"held": {"experiment": "tiny", "write": "npy"}}}
    with plans.processes(1) as pool:
        (jobs,) = pool.submit(plans.graphs, project.folder, [project.config | more]).result()
    project.save()
    return jobs


def stale(folder: Path, *arguments: str) -> tuple[dict[str, int], list[str]]:
    with plans.processes(1) as pool:
        return pool.submit(plans.stale, folder, *arguments).result()


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory) -> Project:
    return finished.copied(tmp_path_factory.mktemp("code") / "project")


@pytest.fixture(scope="module")
def untouched(copied) -> dict:
    return graph(copied)


@pytest.mark.parametrize("name", CODE)
def test_code_reruns_the_stages_that_execute_it(copied, untouched, name):
    file = copied.folder / name
    before = file.read_text()
    file.write_text(before + ("\n<!-- edited -->\n" if file.suffix == ".html" else "\nEDITED = 1\n"))
    rules, lines = stale(copied.folder)
    asked = graph(copied)
    file.write_text(before)
    assert set(rules) == table()[CODE[name]] - ASKED
    assert columns(plans.reran(untouched, asked)) == table()[CODE[name]]
    module = re.sub(r"(/__init__)?\.(py|html)$", "", name).replace("/", ".")
    told = name.removeprefix("workflow/") if "scripts" in name else module
    assert not rules or any(f": code of {told} changed" in line for line in lines), "\n".join(lines)


def test_comments_docstrings_layout_and_dates_are_no_reason(copied):
    for file in [*copied.folder.rglob("m2m_core/**/*.py"), *copied.folder.glob("workflow/scripts/*.py")]:
        text = file.read_text()
        file.write_text(re.sub(r'^"""(?=[A-Z])', '"""Edited. ', text) + "\n\n# a comment\n")
        os.utime(file)
    assert stale(copied.folder) == ({}, [])


def test_a_plugin_reruns_what_uses_it(finished, tmp_path):
    project = finished.copied(tmp_path / "project")
    file = project.folder / "mine.py"
    file.write_text(PLUGIN)
    project.config["plugins"] = ["mine.py"]
    project.save()
    assert set(stale(project.folder)[0]) == {"report"}
    old = project.config["experiments"]["tiny"]["loss"] = "mine"
    with plans.processes(1) as pool:
        (before,) = pool.submit(plans.graphs, project.folder, [project.config]).result()
    file.write_text(PLUGIN.replace("square", "abs"))
    with plans.processes(1) as pool:
        (after,) = pool.submit(plans.graphs, project.folder, [project.config]).result()
    assert old and plans.reran(before, after) == TRAINED | {"emulator", "archive"}
    shutil.move(project.folder, tmp_path / "moved")  # the plugin moves along: nothing of it has changed
    with plans.processes(1) as pool:
        assert pool.submit(plans.graphs, tmp_path / "moved", [project.config]).result() == [after]


# ---- found files

FOUND = {"kind": "npy", "input": "data/in_*.npy", "target": "data/out_*.npy", "quantities": {"input": "displacement"}}
DATA = {"catalogue", "moments", "statistics", "crops"}
UNTIL = ("--until", "statistics", "crops")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Project:
    """A project on files of its own, of which all is made that needs no training."""
    project = Project(tmp_path_factory.mktemp("found") / "project")
    for name in ("in", "out"):
        for i in range(5):
            put(project, f"{name}_{i}", i)
    tiny = project.config["experiments"]["tiny"]
    project.config["datasets"]["boxes"]["source"] = {**FOUND, "quantities": {}}
    tiny["normalize"] = {"input": "standardise", "target": "standardise"}
    project.save()
    project.run(*UNTIL)
    return project


def put(project: Project, name: str, seed: int) -> Path:
    file = project.folder / f"data/{name}.npy"
    file.parent.mkdir(exist_ok=True)
    np.save(file, np.random.default_rng(seed).normal(size=(1, 8, 8, 8)).astype("f4"))
    os.utime(file, (1.7e9, 1.7e9))
    return file


def replace(project):
    file = put(project, "in_2", 77)
    os.utime(file, (1.6e9, 1.6e9))
    return "data/in_2.npy changed"


def touch(project):
    (project.folder / "data/in_2.npy").touch()
    return "data/in_2.npy changed"


def add(project):
    put(project, "in_5", 5), put(project, "out_5", 5)
    return "data/in_5.npy added; data/out_5.npy added"


def remove(project):
    (project.folder / "data/in_2.npy").unlink(), (project.folder / "data/out_2.npy").unlink()
    return "data/in_2.npy removed; data/out_2.npy removed"


@pytest.mark.parametrize("change", [replace, touch, add, remove])
def test_found_files_that_changed_are_named(found, tmp_path, change):
    project = found.copied(tmp_path / "project")
    assert stale_until(project)[0] == {}
    reason = change(project)
    rules, lines = stale_until(project)
    assert set(rules) == DATA and rules["catalogue"] == rules["moments"] == 1
    assert lines[0] == f"catalogue boxes: {reason}"


def test_a_touch_ends_at_the_catalogue_where_that_is_made_first(found, tmp_path):
    project = found.copied(tmp_path / "project")
    touch(project)
    project.run("--until", "catalogue")
    assert stale_until(project)[0] == {}


def stale_until(project) -> tuple[dict[str, int], list[str]]:
    with plans.processes(1) as pool:
        return pool.submit(plans.stale, project.folder, *UNTIL).result()
