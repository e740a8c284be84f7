"""A loss that is no longer finite: which update, which term, which examples, and their numbers on disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Diverged
from ..files import write_whole
from .batches import Batches

__all__ = ["diverged"]

NAMED = 4  # examples in the error


def diverged(source: Batches, step: int, term: str, folder: Path, advice: str) -> Diverged:
    """The error for update number `step`, after its batch is kept in `folder`/diverged.npz."""
    examples = [source.split.fit[int(number)] for number in source.members(step)[1]]
    items = source.whole(step)
    path = folder / "diverged.npz"
    write_whole(path, lambda stream: np.savez(stream, **dict(_arrays(items, "item"))))
    text = f"step {step}: {term} is not finite for examples {_some(examples)}; their batch is in {path}"
    return Diverged(f"{text}; {advice}")


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
