"""A loss that is no longer finite: which update, which term, which examples, and their numbers on disk."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import Diverged
from ..files import write_whole
from .batches import Batches

__all__ = ["anomalies", "diverged"]

NAMED = 4  # examples in the error


def diverged(source: Batches, step: int, term: str, folder: Path, advice: str) -> Diverged:
    """The error for update number `step`, after its batch is kept in `folder`/diverged.npz."""
    examples = [source.split.fit[int(number)] for number in source.members(step)[1]]
    items = source.whole(step)
    path = folder / "diverged.npz"
    write_whole(path, lambda stream: np.savez(stream, **dict(_arrays(items, "item"))))
    text = f"step {step}: {term} is not finite for examples {_some(examples)}; their batch is in {path}"
    return Diverged(f"{text}; {advice}")


@contextlib.contextmanager
def anomalies(step: int, wanted: bool) -> Iterator[None]:
    """Where wanted, look for the first operation of update number `step` whose gradient is not a number."""
    if not wanted:
        yield
        return
    try:
        with torch.autograd.set_detect_anomaly(True):
            yield
    except RuntimeError as error:
        if "returned nan values" not in str(error):
            raise
        text = next(iter(str(error).splitlines()))
        raise Diverged(f"step {step}: {text} the log has the lines of the network that called it") from error


def _arrays(items: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers in nested lists, tuples and dicts, by a path to each."""
    if isinstance(items, Mapping):
        for key, item in items.items():
            yield from _arrays(item, f"{name}-{key}")
    elif isinstance(items, list | tuple):
        for i, item in enumerate(items):
            yield from _arrays(item, f"{name}-{i}")
    else:
        yield name, np.asarray(items)


def _some(examples: list[Any]) -> str:
    text = ", ".join(str(example) for example in examples[:NAMED])
    return f"{text}, ... ({len(examples)})" if len(examples) > NAMED else text
