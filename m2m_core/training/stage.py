"""The training stage: from the files of the earlier stages to the model, its history and its record."""

import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from .. import __version__, registry
from ..data.catalogue import Sample
from ..data.fields import verify
from ..files import replaced, write_json, write_text
from ..lock import owner
from ..models import devices
from ..models.weights import save_weights
from ..provenance import fingerprint
from ..tasks.protocol import Study, build
from ..tasks.study import read_study
from . import gpus, granted
from .launch import members
from .loop import Loop, fit
from .progress import Progress
from .restarts import again_at_the_time_limit

__all__ = ["identity_of", "outlast", "train"]

COLUMNS = "step,epoch,loss,validation,lr\n"


def train(
    settings: Mapping[str, Any], running: Mapping[str, Any], files: Any, outputs: Any, fold: int, job: Any
) -> str:
    """Train the model of `fold`, going on where an interrupted run of the same identity stood.

    Returns a line about the result. Writes the model, its history, and its record: settings, versions, hardware, time.
    """
    experiment = {**settings, **running, "training": {**settings["training"], **running["training"]}}
    if line := granted.check(experiment["training"]):
        job.say(line)
    torch.set_num_threads(max(1, running["training"]["threads"] // running["training"]["gpus"]))
    devices.keep_memory()
    study = read_study(experiment, files, fold)
    verify(study.catalogue.training(fold), job.params.verify)
    identity = identity_of(settings, study)
    folder = Path(job.params.folder.format(**job.wildcards)) / identity
    outlast(folder, job.say)
    with gpus.chosen(experiment["training"], job.say), Progress(job) as progress:
        order = _order(experiment, files, fold, folder, identity)
        with again_at_the_time_limit(job.say), members(experiment["training"], order, job.say) as group:
            loop = fit(build(study), experiment, folder, identity, progress, job.say, group)
    sha256 = save_weights(outputs.model, loop.weights())
    _keep_history(folder / "history.csv", outputs.history)
    write_json(outputs.record, _record(settings, study, loop, identity, sha256))
    return _result(loop)


def _keep_history(path: Path, output: str | Path) -> None:
    """Publish the history; of a training without any step there is none but its columns."""
    if not path.exists():
        return write_text(output, COLUMNS)
    with replaced(output) as temporary:
        shutil.copyfile(path, temporary)


def _order(experiment: Mapping[str, Any], files: Any, fold: int, folder: Path, identity: str) -> dict[str, Any]:
    """What the other processes of a training have to know (JSON)."""
    paths = {name: str(getattr(files, name)) for name in ("catalogue", "statistics", "crops")}
    known = {"experiment": experiment, "files": paths, "fold": fold, "folder": str(folder), "identity": identity}
    return {**known, "plugins": list(registry.PLUGINS)}


def outlast(folder: Path, say: Callable[[str], None]) -> None:
    """Wait for a process that goes on with this training though its Snakemake was killed: its work is used."""
    if who := owner(folder):
        say(f"waiting for {who}, which outlived an earlier run and goes on with this training")
    while owner(folder):
        time.sleep(1)


def identity_of(settings: Mapping[str, Any], study: Study) -> str:
    """What a checkpoint belongs to: settings, code, statistics, crops, training samples and fold.

    More epochs continue a training, with the bits of one long run if the schedule does not depend on the number of
    steps; a cosine goes on where the longer one would be.
    """
    training = {k: v for k, v in settings["training"].items() if k != "epochs"}
    samples = [_content(sample) for sample in study.catalogue.training(study.fold)]
    known = [dict(study.statistics), samples, study.crops.size, study.fold]
    return fingerprint([{**settings, "training": training}, *known])


def _content(sample: Sample) -> list[Any]:
    """All that an example can depend on: what is in the files of a sample, not where they are."""
    parts = [(field, part) for field, parts in sample.fields.items() for part in parts]
    fields = [[field, part.digest, part.dataset, part.shape, part.quantity] for field, part in parts]
    numbers = [dict(sorted(sample.parameters.items()))] if sample.parameters else []
    around = sample.wraps or sample.periodic
    known = sample.id, sample.group, sample.box_size, sample.redshift, sample.omega_m, around, fields
    made = any(part.terms or part.factor != 1.0 for _, part in parts)
    return [*known, *numbers, *([[p.digest, p.dataset, p.factor] for p in sample.arrays] if made else [])]


def _record(settings: Mapping[str, Any], study: Study, loop: Loop, identity: str, sha256: str) -> dict[str, Any]:
    return {
        "identity": identity,
        "fold": study.fold,
        "settings": dict(settings),
        "code": settings["code"],
        "seed": settings["training"]["seed"],
        "sha256": sha256,
        "steps": loop.step,
        "best_step": loop.best.step if loop.best.weights else loop.step,
        "best_score": loop.best.score if loop.best.weights else None,
        "parameters": sum(p.numel() for module in loop.task.modules.values() for p in module.parameters()),
        "attempts": loop.recorder.attempts,
        "seconds": loop.recorder.seconds,
        "hardware": {**devices.hardware(loop.device), "processes": loop.group.size},
        "versions": {"m2m_core": __version__, "python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "numpy": numpy.__version__}


def _result(loop: Loop) -> str:
    best = f", best score {loop.best.score:.4g} at step {loop.best.step}" if loop.best.weights else ""
    return f"{loop.step} steps{best}" + ("" if loop.worked else ", nothing left to do")
