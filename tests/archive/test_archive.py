"""What an archive holds, and how a damaged one is told; packing and making the report again are in tests/workflow."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_core import config, yamlfile
from m2m_core.archive.contents import Portable, code, code_digest, environment, requirements
from m2m_core.archive.manifest import MANIFEST, verify
from m2m_core.errors import DataError, RunError
from m2m_core.files import digest
from tests.config.making import changed

TOP = Path(__file__).parents[2]
ABLATED = changed("ablations", {"w": {"of": "vnet", "vary": {"model.width": [4, 16]}}})
SHIPPED = [TOP / "config/config.yaml", *sorted(TOP.glob("config/studies/*.yaml"))]


@pytest.mark.parametrize(
    "raw", [ABLATED, *map(yamlfile.read, SHIPPED)], ids=["ablated", *(path.stem for path in SHIPPED)]
)
def test_the_config_of_an_archive_is_that_of_the_run(raw, tmp_path):
    raw = raw | {"results": "/somewhere/else"}
    raw["experiments"] = {"zz": next(iter(raw["experiments"].values())), **raw["experiments"]}  # no alphabet
    before = config.parse(raw)
    text = Portable(before.results, before.plugins).config(before.model_dump(), before.variants)
    (tmp_path / "config.yaml").write_text(text)
    after = config.load([tmp_path / "config.yaml"])
    assert after.model_dump() == before.model_dump() | {"results": "results"}
    assert list(after.experiments) == list(before.experiments) and after.variants == before.variants


def test_results_have_the_names_of_a_run_here_wherever_they_were():
    for results in ("results", "/scratch/a b/out", "../out"):
        path = f"{results}/experiments/e/fold-0/evaluation.csv"
        assert Portable(results, []).path(path) == "results/experiments/e/fold-0/evaluation.csv"


def test_plugins_stay_where_they_are_or_get_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/inner").mkdir(parents=True)
    for path in ("mine/__init__.py", "mine/inner/__init__.py", "mine/inner/net.py", "a/models.py", "../models.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    outside = str((tmp_path / "../models.py").resolve())
    portable = Portable("results", ["a/models.py", outside, "../models.py", "mine"])
    assert list(portable.plugins.values()) == ["a/models.py", "plugins/1/models.py", "plugins/2/models.py", "mine"]
    package = {"mine/__init__.py", "mine/inner/__init__.py", "mine/inner/net.py"}
    assert set(portable.plugin_files()) == {"a/models.py", "plugins/1/models.py", "plugins/2/models.py"} | package


def test_predictions_are_no_part_of_what_the_report_reads():
    files = {name: f"out/experiments/e/fold-0/{name}" for name in ("evaluation.csv", "predictions.h5")}
    described = {"name": "e", "folds": {0: files}, "catalogue": "out/datasets/d/catalogue.csv"}
    expected = {"evaluation.csv": "results/experiments/e/fold-0/evaluation.csv"}
    found = Portable("out", []).description(described)
    assert found == {"name": "e", "folds": {0: expected}, "catalogue": "results/datasets/d/catalogue.csv"}


def test_the_code_is_whole_and_without_leftovers():
    names = set(code())
    assert {"m2m_core/registry.py", "m2m_core/report/page.css", "workflow/rules/common.smk", "Makefile"} <= names
    assert {"config/config.yaml", "envs/requirements.lock", "README-m2m.md"} <= names
    assert not [name for name in names if "__pycache__" in name or "/." in name or name.startswith(("/", "results"))]
    listed = subprocess.run(["git", "ls-files", "m2m_core", "workflow"], cwd=TOP, capture_output=True, text=True)
    assert listed.returncode or set(listed.stdout.split()) <= names


def test_an_archive_is_stale_when_its_code_is(tmp_path):
    plugin = tmp_path / "a.py"
    plugin.write_text("# one")
    before = code_digest({"a.py": plugin})
    plugin.write_text("# two")
    assert code_digest({"a.py": plugin}) != before != code_digest({})


def test_the_environment_is_told_as_pip_reads_it():
    lines = [line for line in requirements().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!-]+", line) for line in lines)  # and no local version
    assert lines == sorted(lines, key=lambda line: re.sub(r"[-_.]+", "-", line.split("==")[0]).lower())
    names = {line.split("==")[0].lower() for line in lines}
    assert {"torch", "numpy", "matplotlib"} <= names
    assert environment()["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(environment()["packages"]) >= {"torch", "numpy"}


# ---- the manifest


@pytest.fixture
def unpacked(tmp_path):
    files = [tmp_path / name for name in ("a.csv", "b c.txt")]
    for path in files:
        path.write_text(path.name)
    (tmp_path / MANIFEST).write_text("".join(f"{digest(path)}  {path.name}\n" for path in files))
    return tmp_path


def test_what_was_packed_is_there(unpacked):
    assert verify(unpacked) == 2


def test_a_damaged_file_is_named(unpacked):
    (unpacked / "b c.txt").write_text("b d.txt")
    with pytest.raises(DataError, match=r"b c.txt: damaged: sha256 \w{12}, \w{12} expected; unpack the archive again"):
        verify(unpacked)


def test_a_missing_file_is_named(unpacked):
    (unpacked / "a.csv").unlink()
    with pytest.raises(DataError, match="a.csv: missing; unpack the archive again"):
        verify(unpacked)


@pytest.mark.parametrize("text", ["", "not a sum  a.csv\n"])
def test_a_damaged_manifest_is_named(unpacked, text):
    (unpacked / MANIFEST).write_text(text)
    with pytest.raises(DataError, match=f"{MANIFEST}: damaged"):
        verify(unpacked)


def test_another_folder_than_that_of_an_archive_is_refused(tmp_path):
    with pytest.raises(RunError, match="not here; run this in the folder of an unpacked archive"):
        verify(tmp_path)
    done = subprocess.run([sys.executable, "-m", "m2m_core.archive"], cwd=tmp_path, env={"PYTHONPATH": str(TOP)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 4 and done.stderr.startswith("archive: error: MANIFEST.sha256: not here")
    assert "torch" not in done.stderr and done.stderr.count("\n") == 1
