"""The bridge to Snakemake: one line and an exit code for an error, everything else in the log."""

import os
import sys
from types import SimpleNamespace

import pytest

from m2m_core import errors, registry, script
from m2m_core.script import last_error, rule


class Named(dict):
    __getattr__ = dict.__getitem__


class Wildcards(list):
    """As Snakemake's: values in order, and by name."""

    def __init__(self, **values):
        super().__init__(values.values())
        self.__dict__.update(values)


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    monkeypatch.setenv(script.TOLD, "")  # so that it is forgotten afterwards
    errors = str(tmp_path / "logs" / "errors.jsonl")
    script.tell_scripts(errors, [])
    yield SimpleNamespace(
        rule="training", input=["a"], output=["b"], threads=2, log=[str(tmp_path / "logs" / "x.log")],
        wildcards=Wildcards(experiment="vnet", fold="1"),
        params=Named(settings={"lr": 1}), errors=errors,
    )  # fmt: skip
    registry.use_plugins([])


def run(snakemake, body):
    with rule(snakemake) as job:
        body(job)


def log(snakemake):
    with open(snakemake.log[0]) as stream:
        return stream.read()


def test_a_job_knows_its_rule(snakemake, capsys):
    def body(job):
        assert (job.fold, job.settings, job.input, job.output, job.threads) == (1, {"lr": 1}, ["a"], ["b"], 2)
        print("to the log")
        print("to the log as well", file=sys.stderr)
        job.result = "12 steps"

    run(snakemake, body)
    console = capsys.readouterr()
    assert console.out == "" and console.err.startswith("training vnet 1: 12 steps (") and console.err.count("\n") == 1
    assert log(snakemake).startswith("to the log\nto the log as well\n")


@pytest.mark.parametrize(
    "error, code",
    [(errors.ConfigError, 2), (errors.DataError, 3), (errors.RunError, 4), (errors.Diverged, 5), (errors.Stopped, 143)],
)
def test_a_known_error_is_one_line_and_its_exit_code(snakemake, capsys, error, code):
    def body(job):
        raise error("a.npy: empty; expected values")

    with pytest.raises(SystemExit) as caught:
        run(snakemake, body)
    line = "training vnet 1: error: a.npy: empty; expected values"
    assert caught.value.code == code and capsys.readouterr().err == line + "\n"
    assert "Traceback" in log(snakemake) and line in log(snakemake)
    assert last_error(snakemake.errors) == ([line], code)


def test_an_unknown_error_is_one_line_that_names_the_log(snakemake, capsys):
    def body(job):
        raise ZeroDivisionError("a\nb")

    with pytest.raises(SystemExit) as caught:
        run(snakemake, body)
    assert caught.value.code == 1
    assert (
        capsys.readouterr().err
        == f"training vnet 1: error: ZeroDivisionError: a b; the traceback is in {snakemake.log[0]}\n"
    )


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "two\nlines", "\u202eback", "\x07", "tab\t"])
def test_names_cannot_drive_the_terminal(snakemake, capsys, text):
    def body(job):
        job.say(text)
        job.warn([text])
        raise errors.DataError(text)

    with pytest.raises(SystemExit):
        run(snakemake, body)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.isprintable() for line in lines)
    assert all(line.isprintable() for line in last_error(snakemake.errors)[0])


def test_plugins_are_named_before_the_body_runs_and_refused_in_one_line(snakemake, capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from m2m_core.registry import register\n@register('loss', 'mine')\ndef mine(x, y): ...\n"
    )
    script.tell_scripts(snakemake.errors, [str(tmp_path / "mine.py")])
    run(snakemake, lambda job: registry.find("loss", "mine"))
    script.tell_scripts(snakemake.errors, [str(tmp_path / "nowhere.py")])
    with pytest.raises(SystemExit) as caught:
        run(snakemake, lambda job: registry.find("loss", "mine"))
    assert caught.value.code == 2 and "nowhere.py: no such file" in capsys.readouterr().err


def test_an_error_of_a_plugin_says_where_it_is(snakemake, capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from m2m_core.registry import register\n\n1 / 0\n@register('loss', 'mine')\ndef mine(x, y): ...\n")
    script.tell_scripts(snakemake.errors, [str(file)])
    with pytest.raises(SystemExit):
        run(snakemake, lambda job: registry.load("loss", "mine"))
    assert f"training vnet 1: error: {file}:3: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_logs_are_continued(snakemake):
    run(snakemake, lambda job: print("first"))
    run(snakemake, lambda job: print("second"))
    assert log(snakemake).index("first") < log(snakemake).index("second")


def test_stopping_by_hand_is_left_to_snakemake(snakemake):
    def body(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(snakemake, body)


def test_all_errors_of_a_run_are_told_with_the_code_of_the_first(tmp_path):
    path = tmp_path / "errors.jsonl"
    assert last_error(path) == ([], 1)
    ends = [("a", 143), ("b", 3), ("c", 5), ("a", 0), ("c", 4)]
    path.write_text(
        "".join(f'{{"job": "{job}", "line": "job {job}", "code": {code}}}\n' for job, code in ends) + '{"li'
    )
    assert last_error(path) == (["job b", "job c"], 3)
    path.write_text("")
    assert last_error(path) == ([], 1)


@pytest.mark.parametrize("error", [errors.ConfigError, errors.DataError, errors.Diverged])
def test_what_a_retry_would_end_alike_is_not_tried_again(snakemake, capsys, error):
    def fail(job):
        raise error("somewhere: wrong")

    for body in (fail, lambda job: pytest.fail("tried again")):
        with pytest.raises(SystemExit) as end:
            run(snakemake, body)
        assert end.value.code == error.exit_code
        assert capsys.readouterr().err == "training vnet 1: error: somewhere: wrong\n"


def test_a_retry_that_ends_well_is_no_error(snakemake):
    def fail(job):
        raise errors.Stopped("somewhere: stopped")

    with pytest.raises(SystemExit):
        run(snakemake, fail)
    run(snakemake, lambda job: None)
    assert last_error(snakemake.errors) == ([], 1)


def test_every_error_prints_as_one_line():
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.M2MError):
            assert str(error("a\nb\x1b")) == "a\\nb\\x1b" and 1 <= error.exit_code <= 255
    assert str(errors.ConfigError("é: [Mpc/h] ≥ 1")) == "é: [Mpc/h] ≥ 1"


def test_caches_go_to_the_results_where_there_is_no_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "/chosen")
    monkeypatch.setenv("HOME", str(tmp_path))
    script.keep_caches(tmp_path / "cache")
    assert "XDG_CACHE_HOME" not in os.environ
    monkeypatch.setenv("HOME", "/proc/none")
    script.keep_caches(tmp_path / "cache")
    assert os.environ.pop("XDG_CACHE_HOME") == str(tmp_path / "cache") and os.environ["MPLCONFIGDIR"] == "/chosen"
