"""The inference stage: the held-out samples of a fold, whole, streamed to HDF5 block by block."""

from collections.abc import Mapping
from typing import Any

import torch

from .data import predictions
from .data.fields import verify
from .models import devices
from .models.weights import load_weights
from .tasks.protocol import build
from .tasks.study import read_record, read_study

__all__ = ["predict"]


def predict(settings: Mapping[str, Any], files: Any, output: str, fold: int, job: Any) -> str:
    """Write `predictions.h5`: one dataset a held-out sample, (C, *space) float32 in physical units, with checksums.

    Memory grows with a tile, time with the voxels and the halo. Raises RunError when the weights are not those that
    training wrote. Returns a line about the result.
    """
    torch.set_num_threads(job.threads)
    record = read_record(files.record)
    study = read_study({**record["settings"], "inference": settings["inference"]}, files, fold)
    task = build(study)
    load_weights(files.model, task.modules, record["sha256"])
    device = devices.choose("auto")
    for module in task.modules.values():
        module.to(device).eval()
    samples = task.samples().predict
    verify(samples, job.params.verify)
    attributes = {"model": record["sha256"], "identity": record["identity"]}
    memory = devices.memory_errors("lower inference.tile, or crops.size")
    with predictions.create(output, attributes) as file, torch.inference_mode(), memory:
        for n, sample in enumerate(samples, 1):
            whole = task.predict(sample)
            compression = settings["inference"]["compression"]
            predictions.add(file, sample.id, whole.shape, whole.blocks, whole.attributes, compression)
            predictions.add_beside(file, sample.id, whole.beside, compression)
            job.say(f"sample {sample.id} ({n} of {len(samples)})")
    return f"{len(samples)} samples"
