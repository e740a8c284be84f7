"""What Snakemake plans for a project, asked for in processes that have it loaded already: a quarter of a second a plan.

A process knows one state of the project's code: after an edit of code, ask in another one.
"""

import contextlib
import multiprocessing
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["snakemake.cli", "yaml"])


def processes(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, CONTEXT, max_tasks_per_child=1)


def stale(folder: Path, *arguments: str) -> tuple[dict[str, int], list[str]]:
    """Jobs of each rule that would run in a project, and what `m2m_core.explain` says about them."""
    with _inside(folder) as explain:
        workflow = explain.plan(["--cores", "2", *arguments])
        jobs = [job.rule.name for job in workflow.dag.jobs if workflow.dag.needrun(job)]
        return dict(Counter(name for name in jobs if name != "all")), explain.explain(workflow)


def stale_each(folder: Path, configs: list[dict]) -> list[tuple[dict[str, int], list[str]]]:
    """The same of each of several configs in turn; the code stays as it is."""
    plans = []
    for config in configs:
        _save(folder, config)
        plans.append(stale(folder))
    return plans


def graphs(folder: Path, configs: list[dict]) -> list[dict | str]:
    """Of each config all jobs, those that run when asked for as well; of one that is refused the text.

    A job is outputs -> (rule, params that count, inputs).
    """
    with _inside(folder) as explain:
        made: dict[str, dict | str | None] = dict.fromkeys(map(repr, configs))
        for config in configs:
            made[repr(config)] = made[repr(config)] or _graph(explain, config)
        return [made[repr(config)] for config in configs]


def _graph(explain, config: dict) -> dict | str:
    _save(Path(), config)
    try:
        workflow = explain.plan(["all", "export", "archive", "--cores", "2"])
    except explain.Refused as refusal:
        return refusal.args[0]
    jobs = [job for job in workflow.dag.jobs if job.output]
    return {
        tuple(map(str, job.output)): (job.rule.name, set(map(repr, job.non_derived_params)), set(map(str, job.input)))
        for job in jobs
    }


def _save(folder: Path, config: dict) -> None:
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@contextlib.contextmanager
def _inside(folder: Path):
    """The explaining module of the project itself, not that of this repository."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    from m2m_core import explain

    assert Path(explain.__file__).is_relative_to(folder), explain.__file__
    yield explain


def compare(folder: Path, pairs: dict[str, tuple[dict, dict]]) -> dict[str, tuple[set[str], set[str]]]:
    """Of each pair of configs, the rules that run again from the first to the second, and all that there are."""
    made = iter(graphs(folder, [config for pair in pairs.values() for config in pair]))
    found = {}
    for name, (old, new) in zip(pairs, zip(made, made, strict=True), strict=True):
        assert isinstance(old, dict) and isinstance(new, dict), f"{name}: {old if isinstance(old, str) else new}"
        found[name] = reran(old, new), {rule for rule, _, _ in new.values()}
    return found


def reran(old: dict, new: dict) -> set[str]:
    """The rules of which a job would run after everything in `old` has run: Snakemake's own criteria.

    Other params as a set of texts, other inputs as a set of paths, other outputs, or an input that is made anew.
    """
    anew: set[str] = set()
    rules: set[str] = set()
    while True:
        waiting = {outputs: job for outputs, job in new.items() if not anew >= set(outputs)}
        more = {outputs for outputs, job in waiting.items() if old.get(outputs) != job or job[2] & anew}
        if not more:
            return rules
        anew |= {file for outputs in more for file in outputs}
        rules |= {new[outputs][0] for outputs in more}
