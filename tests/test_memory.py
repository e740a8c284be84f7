"""Snakemake's notes are copied into the results, and given back only when all of them are gone."""

import os
import shutil
from base64 import urlsafe_b64encode

import pytest

from m2m_core import driver, memory

LONG = "results/" + "deep/" * 60 + "file.csv"


def note(folder, file, text="{}"):
    """A note as Snakemake names it: base 64, in pieces of 254 that begin with @ but the last."""
    name = urlsafe_b64encode(file.encode()).decode()
    pieces = [name[i : i + 254] for i in range(0, len(name), 254)]
    path = folder.joinpath("metadata", *(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_was_lost_is_given_back(place):
    notes = [note(place / ".snakemake", file, file) for file in ("results/a.csv", LONG)]
    other = note(place / ".snakemake", "elsewhere/a.csv")
    memory.keep("results", ".snakemake")
    shutil.rmtree(".snakemake")
    assert memory.give_back("results", ".snakemake") and not other.exists()
    assert [path.read_text() for path in notes] == ["results/a.csv", LONG]
    assert not memory.give_back("results", ".snakemake")


def test_a_single_note_that_is_missing_was_removed_on_purpose(place):
    one = note(place / ".snakemake", "results/a.csv")
    note(place / ".snakemake", "results/b.csv")
    memory.keep("results", ".snakemake")
    one.unlink()
    assert not memory.give_back("results", ".snakemake") and not one.exists()


def test_a_note_that_is_newer_replaces_its_copy(place):
    path = note(place / ".snakemake", "results/a.csv", "old")
    memory.keep("results", ".snakemake")
    path.write_text("new")
    os.utime(path, (9e8, 9e8))
    memory.keep("results", ".snakemake")
    shutil.rmtree(".snakemake")
    memory.give_back("results", ".snakemake")
    assert path.read_text() == "new"


def test_results_without_any_memory_are_warned_about(place):
    assert driver.prepare("results", ".snakemake") == []
    (place / "results/datasets").mkdir(parents=True)
    (line,) = driver.prepare("results", ".snakemake")
    assert line.startswith("warning: nobody knows how they were made")
    note(place / ".snakemake", "results/a.csv")
    assert driver.prepare("results", ".snakemake") == []


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "\udcff"])
def test_what_nobody_remembers_is_nothing(place, text):
    if text is not None:
        (place / "results/memory/code").mkdir(parents=True)
        (place / "results/memory/code/a.json").write_text(text, errors="surrogateescape")
    assert memory.recall("results", "code", "a") == {}


def test_what_a_digest_stands_for_is_written_once(place):
    memory.remember("results", "code", "a", {"m": "1"})
    memory.remember("results", "code", "a", {"m": "2"})
    assert memory.recall("results", "code", "a") == {"m": "1"}
