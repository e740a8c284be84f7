"""What a search remembers: one line a finished trial, and what follows from them. The only place that knows Optuna.

Nothing is written while a trial runs: killed at any time, the search proposes the same trial again.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ..errors import RunError
from ..files import write_whole
from ..provenance import fingerprint
from .outcome import Outcome, Trial

__all__ = ["Journal", "Proposal"]

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
WORDS = {state: word for word, state in STATES.items()}
UNJUDGED = 4  # the part of its epochs in which no trial is pruned: a quarter


class Proposal:
    """The next trial: its number and values, and whether it is worse than those before."""

    def __init__(self, trial: optuna.Trial, values: Mapping[str, Any]) -> None:
        self.trial, self.number, self.values = trial, trial.number, values
        self._told = -1  # the last epoch whose score Optuna knows

    def is_hopeless(self, scores: Mapping[int, float]) -> bool:
        """Whether to stop it after these scores, epoch -> validation score, of which none is ever taken back."""
        for epoch in sorted(epoch for epoch in scores if epoch > self._told):
            self.trial.report(scores[epoch], epoch)
            self._told = epoch
        return self.trial.should_prune()


class Journal:
    """The finished trials of a search in an Optuna journal, which other tools for Optuna can read as well.

    draw: key -> a list of values, or the bounds of a range; chosen: seed, sampler, pruner; epochs: of a trial
    Raises RunError when the file is damaged.
    """

    def __init__(self, path: Path, draw: Mapping[str, Any], chosen: Mapping[str, Any], epochs: int) -> None:
        self.path, self.chosen, self.epochs = path, chosen, epochs
        self.distributions = {key: _distribution(source) for key, source in draw.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _cut_torn_line(path)
        Path(f"{path}.lock").unlink(missing_ok=True)  # of a killed process: whoever opens a journal owns its folder
        with _readable(path):
            storage = JournalStorage(JournalFileBackend(str(path)))
            self.study = optuna.create_study(storage=storage, study_name="search", load_if_exists=True)
            self.trials = [self._finished(trial) for trial in self.study.trials]

    def proposal(self) -> Proposal:
        """The next trial: a function of the finished ones, the seed and its number."""
        seed = int(fingerprint([self.chosen["seed"], len(self.trials)])[:8], 16)
        scratch = optuna.create_study(sampler=self._sampler(seed), pruner=self._pruner())
        scratch.add_trials(self.study.trials)
        trial = scratch.ask(self.distributions)
        return Proposal(trial, self._values(trial.params))

    def twin(self, proposal: Proposal) -> Trial | None:
        """The first finished trial with the same values: its outcome would be the same."""
        return next((trial for trial in self.trials if trial.values == proposal.values), None)

    def add(self, proposal: Proposal, outcome: Outcome) -> Trial:
        """Remember how a trial ended; raises RunError when the file cannot be written."""
        facts = {"score": outcome.score, "steps": outcome.steps, "seconds": outcome.seconds, "reason": outcome.reason}
        trial = optuna.trial.create_trial(
            state=STATES[outcome.state],
            value=outcome.score if outcome.state == "complete" else None,
            params=proposal.trial.params,
            distributions=self.distributions,
            intermediate_values=dict(outcome.scores),
            user_attrs=facts,
        )
        try:
            self.study.add_trial(trial)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.trials.append(Trial(proposal.number, proposal.values, outcome))
        return self.trials[-1]

    def _finished(self, trial: FrozenTrial) -> Trial:
        outcome = Outcome(WORDS[trial.state], **trial.user_attrs, scores=dict(trial.intermediate_values))
        return Trial(trial.number, self._values(trial.params), outcome)

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        kinds = {CategoricalDistribution: json.loads, FloatDistribution: float, IntDistribution: int}
        return {key: kinds[type(of)](params[key]) for key, of in self.distributions.items()}

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        return samplers[self.chosen["sampler"]](seed=seed)

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self.chosen["pruner"] == "none":
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(n_warmup_steps=self.epochs // UNJUDGED)


def _distribution(source: Any) -> BaseDistribution:
    """Of listed values their JSON texts, because Optuna takes no lists and no mappings."""
    if isinstance(source, list):
        return CategoricalDistribution([json.dumps(value, sort_keys=True) for value in source])
    is_whole = isinstance(source["low"], int) and isinstance(source["high"], int)
    return (IntDistribution if is_whole else FloatDistribution)(source["low"], source["high"], log=source["log"])


def _cut_torn_line(path: Path) -> None:
    """Remove what a process or a machine that died in the middle of a line left of it."""
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        write_whole(path, lambda stream: stream.write(data[: data.rfind(b"\n") + 1]))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:80]
        text = f"not a readable journal of a search ({type(error).__name__}: {reason}); delete it to search anew"
        raise RunError(f"{path}: {text}") from error
