"""The search stage: trials until there are enough, then the table of all and the config of the best."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from ..data.fields import verify
from ..errors import ConfigError, RunError, Stopped
from ..files import write_text
from ..lock import exclusive
from ..models import devices
from ..tasks.validation import chosen_for_validation
from ..training.restarts import again_at_the_time_limit
from ..training.signals import stop_requests
from ..training.stage import outlast
from .journal import Journal, Proposal
from .outcome import Outcome, Trial, best_of
from .trial import Plan, Vary, run

__all__ = ["search"]

FACTS = ("score", "steps", "seconds", "state", "reason")  # columns after the values


def search(
    settings: Mapping[str, Any], running: Mapping[str, Any], files: Any, outputs: Any, vary: Vary, job: Any
) -> str:
    """Train trial after trial, going on where an interrupted search of the same identity stood.

    Writes the table of all trials and the config of the best one; returns a line about them. Raises Stopped after
    saving when asked to stop, RunError if no trial was completed.
    """
    torch.set_num_threads(running["training"]["threads"])
    devices.keep_memory()
    plan = Plan(settings, running, files, vary)
    _check(plan, job)
    folder = Path(job.params.folder.format(**job.wildcards)) / plan.identity
    outlast(folder, job.say)
    with again_at_the_time_limit(job.say), exclusive(folder, job.say), stop_requests() as stop:
        trials = _trials(plan, folder, stop, job)
    best = best_of(trials)
    if best is None:
        raise RunError(f"none of {len(trials)} trials was completed; the first: {trials[0].outcome.reason}")
    write_text(outputs.trials, _table(trials))
    write_text(outputs.best, _overlay(plan, best, len(trials), outputs.best))
    return _result(trials, best)


def _check(plan: Plan, job: Any) -> None:
    """Files as the catalogue has them, and at least one sample to compare trials by."""
    training = plan.study.catalogue.training(plan.fold)
    verify(training, job.params.verify)
    if not chosen_for_validation([sample.group for sample in training], plan.base["training"], plan.fold):
        text = "no training sample is left for validation; expected two training samples or groups"
        raise ConfigError(f"ablations.{plan.settings['ablation']}.search.fold: {plan.fold}: {text}")


def _trials(plan: Plan, folder: Path, stop: list[int], job: Any) -> list[Trial]:
    chosen = plan.settings["search"]
    journal = Journal(folder / "journal.log", plan.settings["draw"], chosen, plan.base["training"]["epochs"])
    while (done := len(journal.trials)) < chosen["trials"]:
        if stop:
            raise Stopped(f"stopped after {done} of {chosen['trials']} trials; run again to continue")
        proposal = journal.proposal()
        values = ", ".join(f"{key} = {value}" for key, value in proposal.values.items())
        job.say(f"trial {proposal.number} of {chosen['trials']}: {values}")
        trial = journal.add(proposal, _outcome(plan, journal, proposal, folder / f"trial-{proposal.number}", job))
        _forget_weights(folder / f"trial-{proposal.number}")
        job.say(f"trial {trial.number}: {_described(trial.outcome)}{_so_far(journal.trials)}")
    return journal.trials[: chosen["trials"]]


def _outcome(plan: Plan, journal: Journal, proposal: Proposal, folder: Path, job: Any) -> Outcome:
    if twin := journal.twin(proposal):
        same = twin.outcome
        return Outcome(same.state, same.score, same.steps, 0.0, f"as trial {twin.number}", same.scores)
    try:
        return run(plan, proposal.values, folder, proposal.is_hopeless, job)
    except Stopped as error:
        raise Stopped(f"trial {proposal.number}: {error}") from None


def _forget_weights(folder: Path) -> None:
    """A trial that is remembered is never continued; its history and its TensorBoard stay."""
    for path in folder.glob("*.pt"):
        path.unlink()


# ---- what is told


def _described(outcome: Outcome) -> str:
    score = "" if outcome.score is None else f", score {outcome.score:.4g}"
    return f"{outcome.state}{score}" + (f" ({outcome.reason})" if outcome.reason else "")


def _so_far(trials: list[Trial]) -> str:
    best = best_of(trials)
    return f"; best so far {best.outcome.score:.4g} of trial {best.number}" if best else ""


def _result(trials: list[Trial], best: Trial) -> str:
    states = [trial.outcome.state for trial in trials]
    others = "".join(f", {states.count(state)} {state}" for state in ("pruned", "failed") if state in states)
    return f"{len(trials)} trials{others}; best score {best.outcome.score:.4g} of trial {best.number}"


def _table(trials: list[Trial]) -> str:
    """One row a trial: number, values, and what it came to."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["number", *trials[0].values, *FACTS])
    for trial in trials:
        values = [value if isinstance(value, str) else json.dumps(value) for value in trial.values.values()]
        facts = ["" if (fact := getattr(trial.outcome, name)) is None else fact for name in FACTS]
        writer.writerow([trial.number, *values, *facts])
    return stream.getvalue()


def _overlay(plan: Plan, best: Trial, count: int, path: str) -> str:
    """A config that adds the experiment with the best values when it is laid over the one that was searched."""
    of, ablation = plan.settings["of"], plan.settings["ablation"]
    variants = {f"trial-{best.number}": dict(best.values)}
    added = {"ablations": {f"{ablation}-best": {"of": of, "variants": variants}}}
    head = f"# The best of {count} trials of {of}: validation score {best.outcome.score:.6g} on fold {plan.fold}.\n"
    usage = f"# It adds one experiment to the config that was searched: snakemake --configfile YOUR.yaml {path}\n"
    return head + usage + yaml.safe_dump(added, sort_keys=False)
