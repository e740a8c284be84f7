"""The evaluation stage: every held-out sample against the truth, the baselines beside it."""

from collections.abc import Mapping
from typing import Any

import scipy.fft
import torch

from .data import predictions
from .data.fields import verify
from .metrics import table
from .tasks.protocol import build
from .tasks.study import read_record, read_study

__all__ = ["evaluate"]


def evaluate(settings: Mapping[str, Any], files: Any, output: str, fold: int, job: Any) -> str:
    """Write `evaluation.csv`: rows (sample, source, field, metric, x, value) of the held-out samples of `fold`.

    Where several were drawn of each sample, rows of what they say together follow, see `metrics.draws`. Time grows with
    samples, voxels and draws; memory with a few whole samples. Returns a line about the result. Raises
    DataError before the first is read when a prediction is missing, of an unknown sample, or of another shape or model.
    """
    torch.set_num_threads(job.threads)
    record = read_record(files.record)
    study = read_study({**record["settings"], "evaluation": settings["evaluation"]}, files, fold)
    task = build(study)
    samples = task.samples().predict
    predictions.check(files.predictions, {s.id: task.predict(s).shape for s in samples}, record["sha256"])
    verify(samples, job.params.verify)
    rows = []
    with scipy.fft.set_workers(job.threads):
        for n, sample in enumerate(samples, 1):
            prediction = predictions.read(files.predictions, sample.id)
            rows += [(sample.id, *row) for row in task.evaluate(prediction, sample)]
            with predictions.opened(files.predictions) as file:
                if len(draws := predictions.draws(file, sample.id)) > 1:
                    rows += [(sample.id, *row) for row in task.evaluate_draws(draws, sample)]
            job.say(f"sample {sample.id} ({n} of {len(samples)})")
    table.write(output, rows)
    return f"{len(samples)} samples, {len(rows)} rows"
