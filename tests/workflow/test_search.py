"""Ablations and searches under the real Snakemake: a killed search ends with the same trials, the report has all."""

import csv
import os
import random
import signal
import time

import pytest
import yaml

pytestmark = pytest.mark.workflow

SEARCH = {
    "of": "tiny",
    "draw": {
        "optimizer.lr": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
        "model.width": {"low": 1, "high": 3},
        "schedule": ["cosine", "constant"],
    },
    "search": {"trials": 4, "pruner": "median"},
}


def searcher(project) -> int | None:
    """The process that searches in this folder."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if "search.py" in command and str(project.folder) in command and "bash" not in command.split("\0")[0]:
            return int(pid)
    return None


def searching(project) -> None:
    project.config["experiments"]["tiny"]["training"].update(epochs=5, save_steps=1)
    project.config["ablations"] = {"tuned": SEARCH}
    project.save()


def result(project) -> list[dict]:
    """All that does not depend on the clock."""
    with open(project.path("ablations/tuned/trials.csv"), newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


def journal(project) -> bytes:
    return b"".join(path.read_bytes() for path in project.path("ablations/tuned/search").glob("*/journal.log"))


def test_a_killed_search_goes_on_to_the_same_trials(project, tmp_path):
    searching(project)
    whole = project.copied(tmp_path / "whole")
    whole.run("--until", "search")
    for number, after in ((signal.SIGKILL, 1), (signal.SIGTERM, 2)):
        process = project.start("--until", "search")
        deadline = time.monotonic() + 200
        while journal(project).count(b"\n") < 1 + after and time.monotonic() < deadline:  # the study, and its trials
            time.sleep(0.02)
        time.sleep(random.random())
        pid = searcher(project)
        assert pid is not None, process.communicate()[0]
        os.kill(pid, number)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == (143 if number == signal.SIGTERM else 1), output
        assert not project.path("ablations/tuned/trials.csv").exists()
    remembered = journal(project)
    project.run("--until", "search")
    assert result(project) == result(whole) and len(result(whole)) == 4
    assert journal(project).startswith(remembered)  # no finished trial was repeated
    assert project.path("ablations/tuned/best.yaml").read_text() == whole.path("ablations/tuned/best.yaml").read_text()

    project.config["ablations"]["tuned"] = {**SEARCH, "search": {**SEARCH["search"], "trials": 5}}
    project.save()
    project.run("--until", "search")
    assert result(project)[:4] == result(whole) and len(result(project)) == 5


def test_an_ablation_and_a_search_end_in_the_report_and_the_best_is_one_overlay_away(project):
    longer = {"of": "tiny", "variants": {"longer": {"training": {"epochs": 4}}, "robust": {"loss": "huber"}}}
    project.config["ablations"] = {"named": longer, "tuned": {**SEARCH, "search": {"trials": 2}}}
    project.config["datasets"]["boxes"]["folds"]["run"] = [0]
    project.config["experiments"]["tiny"]["evaluation"] = ["mean_square_error"]
    project.save()
    stale = project.stale()
    assert stale["search"] == stale["trials"] == stale["comparison"] == 1 and stale["training"] == 2
    project.run()
    html = project.path("report.html").read_text()
    for words in (
        "Variants of tiny",
        "named-longer",
        "because loss.name and loss.delta differ: named-robust",
        "Of 2 trials",
    ):
        assert words in html, words
    assert "Nothing to be done" in project.run()

    best = project.path("ablations/tuned/best.yaml").relative_to(project.folder)
    (name,) = yaml.safe_load(best_text := (project.folder / best).read_text())["ablations"]["tuned-best"]["variants"]
    assert str(best) in best_text
    stale = project.stale("--configfile", "config/config.yaml", str(best))
    assert stale["training"] == stale["inference"] == stale["evaluation"] == 1 and "search" not in stale
    assert "named-longer" not in stale and f"tuned-best-{name}".startswith("tuned-best-trial-")

    project.config["experiments"]["tiny"]["evaluation"] = ["power_spectrum"]
    project.save()
    assert "search" not in project.stale() and "trials" not in project.stale()


def test_a_search_that_cannot_be_is_refused_at_once(project):
    project.config["ablations"] = {"tuned": {**SEARCH, "draw": {"crops.size": [4]}}}
    project.save()
    begin = time.monotonic()
    output = project.run("-n", expected=2)
    assert "config: error: ablations.tuned.draw.crops.size: trials share" in output and "Traceback" not in output
    assert time.monotonic() - begin < 60
