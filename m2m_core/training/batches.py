"""Which examples make which batch: a pure function of (seed, step), so that resuming needs no random state."""

import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from ..errors import M2MError
from ..tasks.protocol import Split, Task
from .order import Order

__all__ = ["FIT", "VALIDATE", "Batches", "Key", "stream"]

PATIENCE = 600.0  # seconds for a process to read a batch
FIT, VALIDATE = "fit", "validate"
Key = tuple[str, int]  # FIT or VALIDATE, and the number of the batch; an update takes one or several of FIT
ITEM = 1  # purpose of the random numbers of examples


class Batches(torch.utils.data.Dataset):
    """The part of process `rank` of `size` in all batches of a training, by key; the seed alone decides the whole.

    An update takes `accumulate` batches, those of one that is as many times as large. A process without an example in
    a short batch gets the first one, which must then count nothing.
    """

    def __init__(
        self, task: Task, split: Split, order: Order, rank: int = 0, size: int = 1, accumulate: int = 1
    ) -> None:
        self.task, self.split, self.order, self.seed = task, split, order, order.seed
        self.rank, self.size, self.accumulate = rank, size, accumulate
        self.batch_size = order.batch_size // accumulate

    def __getitem__(self, key: Key) -> Any:
        try:
            return self.task.collate(self.items(key))
        except M2MError as error:
            return error  # as a value: on the way out of a process, raised errors lose their one line

    def items(self, key: Key) -> list[Any]:
        """The examples of this process in a batch."""
        purpose, number = key
        if purpose == VALIDATE:
            return [self.task.item(self.split.validate[i], None) for i in self._own(self._validated(number))]
        epoch, numbers = self._batch(number)
        return [self._item(epoch, int(i)) for i in self._own(numbers)]

    def whole(self, step: int) -> list[Any]:
        """All examples of update number `step`."""
        epoch, numbers = self.members(step)
        return [self._item(epoch, int(i)) for i in numbers]

    def keys(self, step: int) -> list[Key]:
        """The batches of update number `step`."""
        count = len(self.members(step)[1])
        return [(FIT, step * self.accumulate + n) for n in range(-(-count // self.batch_size))]

    @property
    def fewest(self) -> int:
        """Examples of the smallest batch, which ends an epoch."""
        return self.order.count % self.batch_size or self.batch_size

    def _batch(self, number: int) -> tuple[int, np.ndarray]:
        """Epoch and examples of a batch to fit."""
        step, place = divmod(number, self.accumulate)
        epoch, numbers = self.members(step)
        return epoch, numbers[place * self.batch_size : (place + 1) * self.batch_size]

    def _own(self, numbers: Sequence[int]) -> Sequence[int]:
        return numbers[self.rank :: self.size] if self.rank < len(numbers) else numbers[:1]

    def _validated(self, number: int) -> range:
        first = self._run(number) * self.batch_size
        return range(first, min(first + self.batch_size, len(self.split.validate)))

    def _run(self, number: int) -> int:
        """Where a batch to validate stands among all: processes that take them in turn get neighbouring ones."""
        lanes, count = (self.split.streams or (1, 1))[0], -(-len(self.split.validate) // self.batch_size)
        lane, place = number % lanes, number // lanes
        return sum(len(range(other, count, lanes)) for other in range(lane)) + place

    def count(self, key: Key) -> tuple[int, int]:
        """How many examples of a batch count in this process, and in all."""
        purpose, number = key
        total = len(self._validated(number) if purpose == VALIDATE else self._batch(number)[1])
        return len(range(self.rank, total, self.size)), total

    def members(self, step: int) -> tuple[int, np.ndarray]:
        """Epoch and examples of update number `step`."""
        return self.order.members(step)

    def _item(self, epoch: int, number: int) -> Any:
        return self.task.item(self.split.fit[number], np.random.default_rng([self.seed, ITEM, epoch, number]))

    @property
    def validations(self) -> list[Key]:
        """Keys of all validation examples."""
        return [(VALIDATE, n) for n in range(-(-len(self.split.validate) // self.batch_size))]


def stream(source: Batches, keys: Iterable[Key], workers: int, pinned: bool) -> Iterator[Any]:
    """The batches of `keys`, read ahead by `workers` processes, the same with any number of them."""
    with _read_ahead(source, keys, workers, pinned) if workers else nullcontext(map(source.__getitem__, keys)) as found:
        for batch in found:
            if isinstance(batch, M2MError):
                raise batch
            yield batch


@contextmanager
def _read_ahead(source: Batches, keys: Iterable[Key], workers: int, pinned: bool) -> Iterator[Iterator[Any]]:
    """The batches; no process that reads them outlives the block, not even one that hangs and ignores signals."""
    before = set(multiprocessing.active_children())
    found = iter(_loaded(source, keys, workers, pinned))
    readers = set(multiprocessing.active_children()) - before
    try:
        yield found
    finally:
        found._shutdown_workers()  # type: ignore[attr-defined]  # which waits five seconds for each
        for reader in readers:
            reader.kill()
            reader.join(5.0)


def _loaded(source: Batches, keys: Iterable[Key], workers: int, pinned: bool) -> Iterable[Any]:
    return torch.utils.data.DataLoader(
        source,
        sampler=keys,  # type: ignore[arg-type]
        batch_size=None,  # a key is a whole batch
        collate_fn=_unchanged,
        num_workers=workers,
        timeout=PATIENCE,
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_trainer,
        multiprocessing_context="fork",  # the task is shared, not copied
        generator=torch.Generator(),  # its own, so that the global one is not advanced
    )


def _unchanged(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_trainer(worker: int) -> None:
    """A scheduler signals all processes of a job; the trainer still needs its batches to finish a step and save."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
