"""The table of the README, key by key: which stages run again after an edit, out of Snakemake's graphs of jobs."""

import re
from concurrent.futures import as_completed
from pathlib import Path

import pytest

from . import edits, plans
from .conftest import TOP, Project

pytestmark = pytest.mark.workflow

COLUMN = {  # rules that stand in the column of another
    "simulations": "simulation",
    "inspection": "catalogue",
    "quantiles": "statistics",
    "comparison": "figure",
    "trials": "figure",
    "emulator": "export",
    "admission": "prediction",
    "ensemble": "prediction",
    "answers": "prediction",
    "writing": "prediction",
    "predict": "prediction",
    "archive_with_predictions": "archive",
}
# Another kind of task needs another network as well, pairs are always kept together, and a coarser input needs a model
# that makes finer fields: no edit of these alone.
ONE_VALUE = {"task.field_to_label.name", "source.gravity.group", "source.nbody.coarsen"}


def table() -> dict[str, set[str]]:
    """What stands in the first column -> the stages that run again."""
    lines = (TOP / "README.md").read_text().split("## What reruns what")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head, _, *body = rows
    return {row[0]: {stage for stage, cell in zip(head[1:], row[1:], strict=True) if cell} for row in body}


STAGES = re.findall(r"^\| edit \| (.+) \|$", (TOP / "README.md").read_text(), re.M)[0].split(" | ")
GROUPS = {key: row for row in table() for key in re.findall(r"`([\w.]+)`", row.split(":")[0])}


def row_of(key: str) -> str:
    """The row of a key: of those that name it or what it is in, the one that says most."""
    names = [name for name in GROUPS if f"{key}.".startswith(f"{name}.")]
    assert names, f"{key}: in no row of README.md, What reruns what; expected its name, or that of its section, in one"
    return GROUPS[max(names, key=len)]


def columns(rules: set[str]) -> set[str]:
    return {COLUMN.get(rule, rule) for rule in rules}


def test_a_column_for_every_rule():
    text = "".join(path.read_text() for path in sorted(TOP.glob("workflow/rules/*.smk")))
    rules = re.findall(r"^rule (\w+):|^use rule \w+ as (\w+) with:", text, re.M)
    assert set(STAGES) == columns({one or other for one, other in rules})
    told = (TOP / "README.md").read_text().split("## What reruns what")[1].split("\n## ")[0]
    assert not [rule for rule in COLUMN if f"`{rule}`" not in told]


def test_a_row_for_every_key_and_no_name_of_nothing():
    keys = {edits.plain(path) for path in edits.leaves()}
    assert {row_of(key) for key in keys} <= table().keys()
    for name in GROUPS:
        assert any(f"{key}.".startswith(f"{name}.") for key in keys), f"{name}: in README.md, but no key"
    twice = re.findall(r"`([\w.]+)`", " ".join(row.split(":")[0] for row in table()))
    assert len(twice) == len(set(twice))


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, tuple[set[str], set[str]]]:
    """Path of a key -> (columns of stages that run again after an edit of it, stages that there are)."""
    pairs: dict[str, tuple] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("files"))
        edits.furnish(folder)
        for path, node in edits.leaves().items():
            if edits.chosen(path) not in ONE_VALUE:
                pairs[path] = edits.edited(path, node)
                assert pairs[path], f"{path}: no edit of it is known; add one to SPECIAL in edits.py"
    halves = [dict(list(pairs.items())[i::2]) for i in (0, 1)]
    with plans.processes() as pool:
        jobs = {pool.submit(plans.compare, _project(tmp_path_factory), half): half for half in halves}
        found = [item for job in as_completed(jobs) for item in job.result().items()]
    return {path: (columns(ran), columns(existing)) for path, (ran, existing) in found}


def _project(factory) -> Path:
    project = Project(factory.mktemp("matrix") / "project")
    edits.furnish(project.folder)
    return project.folder


def test_every_key_reruns_what_its_row_says(measured, capsys):
    rows, wrong = table(), []
    lines = [f"{'':44}{' '.join(stage[:5].ljust(5) for stage in STAGES)}"]
    for path, (ran, existing) in measured.items():
        expected = rows[row_of(edits.plain(path))] & existing
        lines.append(f"{edits.chosen(path):44}{' '.join(('rerun' if s in ran else '  .  ') for s in STAGES)}")
        if ran != expected:
            wrong.append(f"{path}: reruns {sorted(ran - expected)} too, stays {sorted(expected - ran)}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert not wrong, "\n".join(wrong)
