"""Why jobs would run: the key, file or module that made each of them stale. `python -m m2m_core.explain [arguments]`.

Takes the arguments of Snakemake, which builds its graph of jobs and runs none.
"""

import ast
import asyncio
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import driver, memory, provenance
from .changes import differences, listed, numbers
from .data.sources import inventory
from .errors import M2MError, printable

__all__ = ["Refused", "explain", "main", "plan"]

LACKING = "no memory of how it was made"


class Refused(Exception):
    """Snakemake ended before it had a plan: what it printed, and its exit code."""


def main(arguments: Sequence[str]) -> int:
    """Print a line for each group of jobs that would run for the same reasons; the exit code."""
    try:
        lines = explain(plan(arguments))
    except Refused as refusal:
        text, code = refusal.args
        print(text, end="", file=sys.stderr)
        return code
    print("\n".join(map(printable, lines)) or "nothing would run: all results are up to date")
    return 0


def plan(arguments: Sequence[str]) -> Any:
    """The workflow with its graph of jobs, as a dry run of Snakemake builds it; raises Refused."""
    from snakemake import cli

    driver.current, output = None, io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            cli.main([*arguments, "--dry-run", "--quiet", "rules", "progress"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    if code or driver.current is None or driver.current.dag is None:
        raise Refused(output.getvalue(), code or 1)
    return driver.current


def explain(workflow: Any) -> list[str]:
    """A line for each group of jobs that would run, or that would not though nobody knows how they once ran."""
    dag, groups = workflow.dag, {}
    for job in (job for level in dag.toposorted() for job in sorted(level, key=lambda job: list(job.output))):
        reasons = list(dict.fromkeys(_reasons(workflow, job))) if dag.needrun(job) else _doubts(workflow, job)
        if job.output and reasons:
            *group, last = [job.rule.name, *(str(value) for value in job.wildcards)]
            groups.setdefault((*group, "; ".join(reasons)), []).append(last)
    return [_line(key, names) for key, names in groups.items()]


def _line(key: tuple[str, ...], names: Sequence[str]) -> str:
    *group, reasons = key
    return f"{' '.join([*group, numbers(names)])}: {reasons}"


def _doubts(workflow: Any, job: Any) -> list[str]:
    return [f"{LACKING}, taken as it is"] if job.output and _note(workflow, job) is None else []


def _reasons(workflow: Any, job: Any) -> Iterator[str]:
    """Why a job would run: what of its own changed; if nothing did, what is made anew before it."""
    own = list(_own(workflow, job))
    yield from own or _anew(workflow, job)


def _own(workflow: Any, job: Any) -> Iterator[str]:
    note = _note(workflow, job)
    gone = [file for file in job.output if not os.path.lexists(file)]
    if gone and note is None:
        yield "never made"
        return
    if gone:
        yield f"{', '.join(map(os.path.basename, gone))} {'is' if len(gone) == 1 else 'are'} gone"
    yield from _forced(workflow, job)
    yield from [LACKING] if note is None else _edits(workflow, job, note)
    yield from _files(workflow, job, note)


def _note(workflow: Any, job: Any) -> Any:
    """What Snakemake noted of the outputs when they were made; None if it noted nothing, or what cannot be read."""
    for file in job.output:
        with contextlib.suppress(Exception):  # written by another version, or by hand: any of them may fail anywhere
            if (note := workflow.persistence.metadata(file)) is not None and note.params is not None:
                return note
    return None


def _forced(workflow: Any, job: Any) -> Iterator[str]:
    reason = workflow.dag.reason(job)
    if reason.forced and asyncio.run(workflow.persistence.incomplete(job)):
        yield "was interrupted"
    elif reason.forced:
        yield "asked for"
    if reason.software_stack_changed:
        yield "its software environment changed"


# ---- settings


def _edits(workflow: Any, job: Any, note: Any) -> Iterator[str]:
    """The keys, modules and found files that differ from those that the outputs were made with."""
    new = {repr(value): value for value in job.non_derived_params}
    old = {text: _read(text) for text in note.params or []}
    then = [value for text, value in old.items() if text not in new]
    now = [value for text, value in new.items() if text not in old]
    if not then and not now:
        return
    pairs = _settings(then), _settings(now)
    if None in pairs:
        yield "its parameters changed"
        return
    yield from _settings_changed(workflow.globals["RESULTS"], job, *pairs)


def _settings_changed(results: str, job: Any, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from differences(then, now, _place(job))
    if then.get("code") != now.get("code"):
        old, new = memory.recall(results, "code", str(then.get("code"))), provenance.SEEN.get(now.get("code"), {})
        yield from [f"code of {text}" for text in listed(old, new)] if old and new else ["code changed"]
    if then.get("files") != now.get("files"):
        old, new = memory.recall(results, "files", str(then.get("files"))), _inventory(now)
        yield from listed(old, new) if old and new else ["files changed"]


def _read(text: str) -> Any:
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return ast.literal_eval(text)
    return None


def _settings(values: Sequence[Any]) -> dict[str, Any] | None:
    return next((value for value in values if isinstance(value, dict) and "code" in value), None)


def _inventory(settings: Mapping[str, Any]) -> dict[str, list[int]]:
    with contextlib.suppress(M2MError):
        return {path: [*rest] for path, *rest in inventory(settings.get("source", {}))}
    return {}


def _place(job: Any) -> str:
    """Where in the config the settings of a job stand."""
    for kind in ("dataset", "experiment", "prediction"):
        if kind in job.wildcards.keys():
            return f"{kind}s.{job.wildcards[kind]}."
    return ""


# ---- inputs


def _files(workflow: Any, job: Any, note: Any) -> Iterator[str]:
    """Inputs that came, went or changed without being made anew by a job."""
    now = {str(file): 0 for file in job.input}
    yield from listed(dict.fromkeys((note and note.input) or now, 0), now)
    made = {str(file) for files in _upstream(workflow, job).values() for file in files}
    for file in sorted(map(str, workflow.dag.reason(job).updated_input)):
        if file not in made:
            yield f"{os.path.basename(file)} changed"


def _anew(workflow: Any, job: Any) -> Iterator[str]:
    """`made anew: predictions.h5 by inference`."""
    by_rule: dict[str, set[str]] = {}
    for before, files in _upstream(workflow, job).items():
        by_rule.setdefault(before.rule.name, set()).update(map(os.path.basename, files))
    texts = [f"{numbers(sorted(names))} by {rule}" for rule, names in by_rule.items()]
    if texts:
        yield f"made anew: {', '.join(texts)}"


def _upstream(workflow: Any, job: Any) -> dict[Any, set[str]]:
    """Job that would run before -> its files that this job reads."""
    dag = workflow.dag
    return {before: files for before, files in dag.dependencies[job].items() if dag.needrun(before)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
