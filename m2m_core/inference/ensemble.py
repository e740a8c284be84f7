"""The ensemble of several models, and draws of each: mean and spread of what they predict of the same inputs."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from ..data import predictions
from ..errors import DataError
from ..wording import short

__all__ = ["combine", "mean", "same", "spread"]


def mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, the predictions, in float64."""
    return values.mean(axis=0)


def spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, the predictions: n - 1 in its denominator, in float64."""
    return values.std(axis=0, ddof=1)


def combine(settings: Mapping[str, Any], files: Sequence[str], outputs: Any, job: Any) -> str:
    """Write `outputs.mean` and `outputs.spread`, files like those of each model, (C, *space) float32 a sample.

    Memory is that of a chunk of each prediction. Returns a line about the result; raises DataError when the files do
    not hold the same samples.
    """
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(predictions.opened(file)) for file in files]
        samples = same(files, models)
        attributes = {"models": [str(model.attrs.get("model", "")) for model in models]}
        for output, measure in ((outputs.mean, mean), (outputs.spread, spread)):
            with predictions.create(output, attributes) as file:
                for name in samples:
                    each = [draw for model in models for draw in predictions.draws(model, name)]
                    blocks = _blocks(each, measure)
                    known = dict(each[0].attrs)
                    predictions.add(file, name, each[0].shape, blocks, known, settings["compression"])
        text = f"{len(models)} models" if len(models) > 1 else f"{len(each)} draws"
        job.say(f"mean and spread of {text}")
    return f"{len(samples)} samples of {text}"


def same(files: Sequence[str], models: Sequence[h5py.File]) -> list[str]:
    """The samples of all files; raises DataError when one has others, or other shapes."""
    shapes = [{name: model[name].shape for name in predictions.names(model)} for model in models]
    for file, found in zip(files, shapes, strict=True):
        if found != shapes[0]:
            odd = sorted(name for name in {**found, **shapes[0]} if found.get(name) != shapes[0].get(name))
            text = f"another sample or shape than in {files[0]}: {short(', '.join(odd))}"
            raise DataError(f"{file}: {text}; delete it to predict anew")
    return list(shapes[0])


def _blocks(each: Sequence[h5py.Dataset], measure: Callable) -> Iterator[predictions.Block]:
    for place in each[0].iter_chunks():
        yield place, measure(np.stack([values[place] for values in each]).astype("f8"))
