"""What is said about results that are touched, gone, interrupted or forgotten, and the command that says it."""

import shutil
from base64 import urlsafe_b64encode

import pytest

from .test_staleness import TRAINED, stale

pytestmark = pytest.mark.workflow


def test_a_result_that_is_touched_is_none_that_changed(project):
    for file in project.path("").rglob("*.csv"):
        file.touch()
    assert stale(project.folder) == ({}, [])


def test_a_result_that_is_gone_is_made_anew(project):
    project.path("experiments/tiny/fold-1/evaluation.csv").unlink()
    project.path("report.html").unlink()
    rules, lines = stale(project.folder)
    assert rules == {"evaluation": 1, "figure": rules["figure"], "report": 1}
    assert lines[0] == "evaluation tiny 1: evaluation.csv is gone"


def test_results_remember_how_they_were_made_when_snakemake_does_not(project):
    shutil.rmtree(project.folder / ".snakemake")
    assert stale(project.folder) == ({}, [])
    shutil.rmtree(project.folder / ".snakemake")
    project.config["experiments"]["tiny"]["model"]["width"] = 3
    project.save()
    assert "how they were made is read from results/memory" in project.run("-n")
    rules, lines = stale(project.folder)
    assert set(rules) == TRAINED and "training tiny 0-1: experiments.tiny.model.width 2 -> 3" in lines


def test_results_that_nobody_remembers_are_taken_with_a_warning(project):
    shutil.rmtree(project.folder / ".snakemake")
    shutil.rmtree(project.path("memory"))
    output = project.run()
    assert "Nothing to be done" in output and "warning: nobody knows how they were made" in output
    lines = stale(project.folder)[1]
    assert "training tiny 0-1: no memory of how it was made, taken as it is" in lines


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"params": ["(", "nan", "x" ]}', "null"])
def test_notes_of_another_hand_end_in_words(project, text):
    for note in (project.folder / ".snakemake/metadata").iterdir():
        note.write_text(text)
    process = project.start(module="m2m_core.explain")
    output, _ = process.communicate(timeout=100)
    assert "Traceback" not in output and output.strip(), output


def test_what_was_interrupted_says_so(project):
    file = "results/experiments/tiny/fold-0/evaluation.csv"
    note = project.folder / ".snakemake/incomplete" / urlsafe_b64encode(file.encode()).decode()
    note.write_text('{"external_jobid": null}')
    assert "evaluation tiny 0: was interrupted" in stale(project.folder)[1]


# ---- the command


def test_the_command_says_so_when_there_is_nothing_to_say(finished):
    output, _ = finished.start(module="m2m_core.explain").communicate(timeout=100)
    assert output == "nothing would run: all results are up to date\n"


def test_the_command_takes_the_arguments_of_snakemake(finished):
    process = finished.start("--config", "experiments={tiny: {model: {width: 3}}}", module="m2m_core.explain")
    assert "training tiny 0-1: experiments.tiny.model.width 2 -> 3\n" in process.communicate(timeout=100)[0]
    process = finished.start("--config", "experiments={tiny: {model: {widht: 3}}}", module="m2m_core.explain")
    output = process.communicate(timeout=100)[0]
    assert process.returncode == 2 and "did you mean 'width'?" in output and "Traceback" not in output
