"""The inference stage: held-out samples, or new ones, whole, streamed to HDF5 block by block."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..data import predictions
from ..data.catalogue import Catalogue, Sample
from ..data.fields import verify
from ..errors import ConfigError
from ..models import devices
from ..models.weights import load_weights
from ..tasks.protocol import Task, build
from ..tasks.study import read_record, read_study

__all__ = ["predict", "predict_new"]


def predict(settings: Mapping[str, Any], files: Any, output: str, fold: int, job: Any) -> str:
    """Write `predictions.h5`: one dataset a held-out sample, (C, *space) float32 in physical units, with checksums.

    Where several are drawn of a sample, the others stand beside the first, see `data.predictions.draws`. Memory grows
    with a tile, whatever is drawn, time and disk with the voxels, the halo and the draws. Raises RunError when the
    weights are not those that training wrote. Returns a line about the result.
    """
    task, record = _trained(settings, files, fold, job)
    return _write(settings, task, record, task.samples().predict, output, job)


def predict_new(settings: Mapping[str, Any], files: Any, output: str, fold: int, job: Any) -> str:
    """As `predict`, of all samples of the catalogue `files.samples`, of which nothing is known but the input."""
    task, record = _trained(settings, files, fold, job)
    return _write(settings, task, record, Catalogue.read(files.samples).samples, output, job)


def _trained(settings: Mapping[str, Any], files: Any, fold: int, job: Any) -> tuple[Task, dict[str, Any]]:
    """The task with the weights of `fold`, and the record of their training."""
    torch.set_num_threads(job.threads)
    record = read_record(files.record)
    study = read_study({**record["settings"], "inference": settings["inference"]}, files, fold)
    task = build(study)
    load_weights(files.model, task.modules, record["sha256"])
    device = devices.choose("auto")
    for module in task.modules.values():
        module.to(device).eval()
    return task, record


def _write(
    settings: Mapping[str, Any],
    task: Task,
    record: Mapping[str, Any],
    samples: Sequence[Sample],
    output: str,
    job: Any,
) -> str:
    verify(samples, job.params.verify)
    draws, compression = settings["inference"]["draws"], settings["inference"]["compression"]
    if draws > 1 and not getattr(task, "takes_noise", False):
        raise ConfigError(f"inference.draws: {draws}, of a task or model that takes no noise; expected 1")
    attributes = {"model": record["sha256"], "identity": record["identity"]}
    memory = devices.memory_errors("lower inference.tile, or crops.size")
    with predictions.create(output, attributes) as file, torch.inference_mode(), memory:
        for n, sample in enumerate(samples, 1):
            for draw in range(draws):
                whole = task.predict(sample, draw) if draw else task.predict(sample)
                predictions.add(file, sample.id, whole.shape, whole.blocks, whole.attributes, compression, draw)
            predictions.add_beside(file, sample.id, whole.beside, compression)
            job.say(f"sample {sample.id} ({n} of {len(samples)})")
    return f"{len(samples)} samples" + (f", {draws} draws of each" if draws > 1 else "")
