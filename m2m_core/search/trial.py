"""One trial: the experiment with its values, trained on one fold by the ordinary loop and judged by its validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..crops import write_index
from ..errors import ConfigError, Diverged, OutOfMemory
from ..tasks.protocol import Study, build
from ..tasks.study import read_study
from ..training.loop import fit
from ..training.progress import Progress
from ..training.stage import identity_of
from .outcome import Outcome, scores_in, told_by

__all__ = ["Plan", "run"]

Vary = Callable[[Mapping[str, Any], str, str, Mapping[str, Any]], dict[str, Any]]
PRIVATE = ("dataset", "evaluation", "inference", "tracking")  # what training never looks at


class Hopeless(Exception):
    """The trial is worse than those before."""


@dataclass(frozen=True)
class Plan:
    """What all trials share: the settings of the search, how it runs, the files of the base, and `vary`, which makes
    the settings of an experiment out of (those of the base, its name, the ablation's, values)."""

    settings: Mapping[str, Any]
    running: Mapping[str, Any]
    files: Any
    vary: Vary

    @property
    def fold(self) -> int:
        return self.settings["search"]["fold"]

    @cached_property
    def base(self) -> dict[str, Any]:
        """The settings of the experiment that trials are made of, complete."""
        training = {**self.settings["base"]["training"], **self.running["training"]}
        return {**self.settings["base"], **self.running, "training": training}

    @cached_property
    def study(self) -> Study:
        """The base on the fold of the search."""
        return read_study(self.base, self.files, self.fold)

    @cached_property
    def identity(self) -> str:
        """What the trials belong to: everything but their number."""
        chosen = {key: value for key, value in self.settings["search"].items() if key != "trials"}
        return identity_of({**self.settings, "search": chosen, "training": {}}, self.study)

    def experiment(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the trial with these values; raises ConfigError if they do not go together."""
        return self.vary(self.base, self.settings["of"], self.settings["ablation"], values)

    def training(self, experiment: Mapping[str, Any]) -> dict[str, Any]:
        """Of the settings of a trial those that decide its weights."""
        kept = {key: value for key, value in experiment.items() if key not in PRIVATE}
        training = {k: v for k, v in experiment["training"].items() if k not in self.running["training"]}
        return {**kept, "training": training, "code": self.settings["code"]}


def run(
    plan: Plan, values: Mapping[str, Any], folder: Path, is_hopeless: Callable[[Mapping[int, float]], bool], job: Any
) -> Outcome:
    """Train the trial with these values in `folder`, going on where it stood.

    A trial that diverges, that memory is too small for, or whose values do not go together has failed, and the search
    goes on; it is pruned where `is_hopeless` says so of its scores. All else is raised, Stopped among it.
    """
    try:
        _train(plan, values, folder, is_hopeless, job)
    except Hopeless:
        return told_by(folder, "pruned")
    except (ConfigError, Diverged, OutOfMemory) as error:
        return told_by(folder, "failed", str(error))
    return told_by(folder, "complete")


def _train(plan: Plan, values: Mapping[str, Any], folder: Path, is_hopeless: Callable, job: Any) -> None:
    experiment = plan.experiment(values)
    study = _study(plan, experiment, folder)
    identity = identity_of(plan.training(experiment), study)
    with Progress(job) as progress:

        def on_step(step: int, steps: int, row: Mapping[str, Any]) -> None:
            progress(step, steps, row)
            if row.get("validation") is not None and is_hopeless(scores_in(folder)) and step < steps:
                raise Hopeless

        fit(build(study), experiment, folder, identity, on_step, job.say)


def _study(plan: Plan, experiment: Mapping[str, Any], folder: Path) -> Study:
    """The study of a trial, with crops of its own: a deeper network needs another halo."""
    model = {key: value for key, value in experiment["model"].items() if key != "name"}
    geometry = {"name": experiment["model"]["name"], "options": model}
    paths = {"catalogue": plan.files.catalogue, "statistics": plan.files.statistics, "crops": folder / "crops.npz"}
    write_index({"crops": experiment["crops"], "geometry": geometry}, paths["catalogue"], paths["crops"])
    return read_study(experiment, SimpleNamespace(**paths), plan.fold)
