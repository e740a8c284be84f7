"""The training stage: from the files of the earlier stages to the model, its history and its record."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from .. import __version__
from ..data.stage import verify
from ..files import replaced, write_json
from ..models import devices
from ..models.weights import save_weights
from ..provenance import fingerprint
from ..tasks.protocol import Study, build
from ..tasks.study import read_study
from .loop import Loop, fit
from .progress import Progress

__all__ = ["identity_of", "train"]


def train(settings: Mapping[str, Any], running: Mapping[str, Any], files: Any, outputs: Any, fold: int, job: Any) -> str:
    """Train the model of `fold`, going on where an interrupted run of the same identity stood.

    Returns a line about the result. Writes the model, its history, and its record: settings, versions, hardware, time.
    """
    torch.set_num_threads(running["training"]["threads"])
    experiment = {**settings, **running, "training": {**settings["training"], **running["training"]}}
    study = read_study(experiment, files, fold)
    verify(study.catalogue.training(fold), job.params.verify)
    identity = identity_of(settings, study)
    folder = Path(job.params.folder.format(**job.wildcards)) / identity
    with Progress(job, settings["training"]["epochs"]) as progress:
        loop = fit(build(study), experiment, folder, identity, progress)
    sha256 = save_weights(outputs.model, loop.weights())
    with replaced(outputs.history) as temporary:
        shutil.copyfile(folder / "history.csv", temporary)
    write_json(outputs.record, _record(settings, study, loop, identity, sha256))
    return _result(loop)


def identity_of(settings: Mapping[str, Any], study: Study) -> str:
    """What a checkpoint belongs to: settings without epochs, code, statistics, crops, training samples and fold."""
    training = {k: v for k, v in settings["training"].items() if k != "epochs"}
    known = study.catalogue.training(study.fold)
    samples = {s.id: [[p.digest, p.dataset] for parts in s.fields.values() for p in parts] for s in known}
    return fingerprint([{**settings, "training": training}, dict(study.statistics), samples, study.crops.size, study.fold])


def _record(settings: Mapping[str, Any], study: Study, loop: Loop, identity: str, sha256: str) -> dict[str, Any]:
    return {
        "identity": identity,
        "fold": study.fold,
        "settings": dict(settings),
        "code": settings["code"],
        "seed": settings["training"]["seed"],
        "sha256": sha256,
        "steps": loop.step,
        "best_step": loop.best["step"] or loop.step,
        "best_score": loop.best["score"] if loop.best["weights"] else None,
        "parameters": sum(p.numel() for module in loop.task.modules.values() for p in module.parameters()),
        "attempts": loop.attempts,
        "seconds": loop.seconds,
        "hardware": devices.hardware(loop.device),
        "versions": {"m2m_core": __version__, "python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "numpy": numpy.__version__}


def _result(loop: Loop) -> str:
    best = f", best score {loop.best['score']:.4g} at step {loop.best['step']}" if loop.best["weights"] else ""
    return f"{loop.step} steps{best}" + ("" if loop.worked else ", nothing left to do")
