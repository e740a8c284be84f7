"""Which examples make which batch: a pure function of (seed, step), so that resuming needs no random state."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..errors import RunError
from ..tasks.protocol import Task

__all__ = ["Examples", "batches", "members"]

ORDER, ITEM = 0, 1  # purposes of random numbers


def members(count: int, batch_size: int, seed: int, step: int) -> tuple[int, np.ndarray]:
    """Epoch of update number `step` and the numbers of its examples: every example once an epoch, last batch short."""
    epoch, batch = divmod(step, -(-count // batch_size))
    return epoch, _order(count, seed, epoch)[batch * batch_size : (batch + 1) * batch_size]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)


class Examples(torch.utils.data.Dataset):
    """The examples of a task as a map from (epoch, number); all randomness comes from these two and the seed."""

    def __init__(self, task: Task, examples: Any, seed: int) -> None:
        self.task, self.examples, self.seed = task, examples, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, number = key
        rng = np.random.default_rng([self.seed, ITEM, epoch, number])
        return self.task.item(self.examples[number], rng)


def batches(task: Task, examples: Any, batch_size: int, seed: int, start: int, stop: int, workers: int) -> Iterator[Any]:
    """The batches of updates `start` to `stop`, read ahead by `workers` processes, the same with any number of them."""
    source = Examples(task, examples, seed)
    keys = _Keys(len(examples), batch_size, seed, start, stop)
    if workers:
        return _loaded(source, keys, task, workers)
    return (task.collate([source[key] for key in batch]) for batch in keys)


class _Keys:
    """The (epoch, number) keys of each batch, as the loader wants to iterate over them."""

    def __init__(self, count: int, batch_size: int, seed: int, start: int, stop: int) -> None:
        self.shape, self.steps = (count, batch_size, seed), range(start, stop)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            epoch, numbers = members(*self.shape, step)
            yield [(epoch, int(number)) for number in numbers]


def _loaded(source: Examples, keys: Any, task: Task, workers: int) -> Iterator[Any]:
    loader = torch.utils.data.DataLoader(
        source,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=task.collate,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, so that the global one is not advanced
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "killed by signal" not in str(error):
            raise
        raise RunError("a process that reads crops was killed, likely for memory; lower training.workers") from error
