"""The only bridge between a Snakemake script and the library: logs, one line for an error, plugins, exit codes."""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from . import registry
from .errors import ConfigError, DataError, Diverged, M2MError, printable

__all__ = ["ERRORS", "Job", "keep_caches", "last_error", "rule", "tell_scripts", "use_library"]

ERRORS = "logs/errors.jsonl"  # below the results folder: errors of the run in progress
TOLD = "M2M_TOLD"  # variable of the environment of scripts: where they note errors, and plugins, as JSON
HOPELESS = (ConfigError.exit_code, DataError.exit_code, Diverged.exit_code)  # a retry of the run would end the same


class Job:
    """What a script needs of its rule: `input`, `output`, `settings` (the params), and a console to report to."""

    def __init__(self, snakemake: Any, console: IO[str]) -> None:
        self.input, self.output, self.params = snakemake.input, snakemake.output, snakemake.params
        self.threads, self.wildcards, self.console = snakemake.threads, snakemake.wildcards, console
        self.settings = dict(snakemake.params.settings)
        self.fold = int(getattr(snakemake.wildcards, "fold", -1))
        self.name = " ".join([snakemake.rule, *(str(value) for value in snakemake.wildcards)])
        self.result = ""  # what the console says at the end

    def say(self, text: str) -> None:
        """One line to the person who watches, and to the log."""
        with contextlib.suppress(OSError):  # whoever watched is gone, the work goes on
            print(f"{self.name}: {printable(text)}", file=self.console, flush=True)
        print(printable(text), flush=True)

    def warn(self, warnings: Iterable[str]) -> None:
        """Say what is odd but allowed."""
        for warning in warnings:
            self.say(f"warning: {warning}")


@contextlib.contextmanager
def rule(snakemake: Any) -> Iterator[Job]:
    """Run the body of a rule: output goes to the rule's log, a known error to one line and its exit code."""
    console = sys.stderr
    job = Job(snakemake, console)
    told = json.loads(os.environ[TOLD])
    errors = told["errors"]
    with _to(snakemake.log[0]):
        begin = time.monotonic()
        if (before := _last(errors).get(job.name)) and before["code"] in HOPELESS:
            _fail(job, errors, before["line"], before["code"])
        try:
            registry.use_plugins(told["plugins"])
            yield job
        except M2MError as error:
            traceback.print_exc()
            _fail(job, errors, str(error), error.exit_code)
        except Exception as error:
            traceback.print_exc()
            text = f"{_place(error)}{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            _fail(job, errors, f"{text}; the traceback is in {snakemake.log[0]}", 1)
        job.say(f"{job.result or 'done'} ({time.monotonic() - begin:.1f} s)")
        if Path(errors).exists():  # of an attempt before, it may be
            _note(errors, job, "", 0)


def _place(error: Exception) -> str:
    """Where in a plugin it came from, if it did: that is what a user can mend."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((f"{frame.filename}:{frame.lineno}: " for frame in frames if registry.of_plugin(frame.filename)), "")


@contextlib.contextmanager
def _to(path: str) -> Iterator[None]:
    """Append all output to a log."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", buffering=1) as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


def _fail(job: Job, path: str, text: str, code: int) -> None:
    start = f"{job.name}: error: "
    line = start + printable(text).removeprefix(start)
    print(line, flush=True)
    with contextlib.suppress(OSError):
        print(line, file=job.console, flush=True)
    _note(path, job, line, code)
    sys.exit(code)


def _note(path: str, job: Job, line: str, code: int) -> None:
    """How a job ended, for the end of the run: of several attempts the last one counts."""
    with contextlib.suppress(OSError):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as stream:
            stream.write(json.dumps({"job": job.name, "line": line, "code": code}) + "\n")


def _last(path: str | Path) -> dict[str, dict]:
    """Job -> how its last attempt ended, of the jobs that failed at least once in this run."""
    last: dict[str, dict] = {}
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # cut by a kill
                record = json.loads(line)
                last[record["job"]] = record
    return last


def use_library(home: str | Path) -> None:
    """Let the scripts that this process starts import the library of this clone, whatever else is installed."""
    before = os.environ.get("PYTHONPATH")
    if before is None or str(home) not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = str(home) if not before else os.pathsep.join([str(home), before])


def tell_scripts(errors: str, plugins: Iterable[str]) -> None:
    """Tell the scripts that this process starts what no result depends on: a parameter of each job would cost more.

    errors: file below the results folder; plugins: as in the config
    """
    os.environ[TOLD] = json.dumps({"errors": errors, "plugins": list(plugins)})


def keep_caches(folder: str | Path) -> None:
    """Let libraries keep their caches in `folder`, here and in scripts, where the home cannot be written."""
    if not os.access(os.path.expanduser("~"), os.W_OK):
        for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
            os.environ.setdefault(name, str(Path(folder).absolute()))


def last_error(path: str | Path) -> tuple[list[str], int]:
    """The error lines of the jobs that failed in the end and the exit code of the first, (no lines, 1) without any."""
    failed = [record for record in _last(path).values() if record["code"]]
    return [record["line"] for record in failed], failed[0]["code"] if failed else 1
