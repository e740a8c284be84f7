"""In which order examples are learnt from: a pure function of (seed, epoch), whatever the number of processes."""

from functools import lru_cache

import numpy as np

__all__ = ["Order"]

PURPOSE = 0  # of the random numbers, as opposed to those of the examples


class Order:
    """Batches of `batch_size` out of `count` examples; every example is in one batch of an epoch, the last is short.

    `near` (count,) numbers the sample that each example is read from. With `neighbourhood` d, a batch takes one example
    from each of `batch_size` streams, and each stream goes through samples of its own, in an order that is new in every
    epoch, and mixes the examples of d neighbouring samples. So a file is read from end to end once an epoch, by one
    stream; batch_size x (d + 1) samples have to fit into the page cache at a time. A process has the streams of its
    part of each batch, hence reads its part of the samples. Without a neighbourhood all examples are mixed.

    `streams` (lanes, width) has fewer streams, for samples that are kept in memory as wholes: `lanes` batches in turn
    are of different samples, so that each of 1, 2 or 4 processes that read ahead keeps to samples of its own, and a
    batch takes equally many examples from each of `width` streams. An update takes `accumulate` batches.

    Memory: 8 bytes an example for each of two epochs, and 24 more while an epoch begins.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        near: np.ndarray | None = None,
        neighbourhood: float | None = None,
        streams: tuple[int, int] | None = None,
        accumulate: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.lanes, self.width = streams or (1, batch_size)
        self.part = batch_size // accumulate if streams else batch_size
        self.per_epoch = -(-count // batch_size)
        self.near, self.neighbourhood = near, neighbourhood
        self._of = lru_cache(maxsize=2)(self._order)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_of"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._of = lru_cache(maxsize=2)(self._order)

    def members(self, step: int) -> tuple[int, np.ndarray]:
        """Epoch of update number `step` and the numbers of its examples."""
        epoch, batch = divmod(step, self.per_epoch)
        return epoch, self._of(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, PURPOSE, epoch])
        if self.neighbourhood is None or self.near is None:
            return rng.permutation(self.count)
        return self._streamed(self._neighbouring(rng, self.near, self.neighbourhood))

    def _neighbouring(self, rng: np.random.Generator, near: np.ndarray, distance: float) -> np.ndarray:
        """Examples sorted by the place of their sample, drawn anew, and a chance of less than `distance` samples."""
        _, sample = np.unique(near, return_inverse=True)
        place = rng.permutation(int(sample.max()) + 1)[sample]
        return np.argsort(place + distance * rng.random(self.count), kind="stable")

    def _streamed(self, order: np.ndarray) -> np.ndarray:
        """Streams through neighbouring parts of `order`, of which each batch takes what is due to it."""
        batch, place = np.divmod(np.arange(self.count), self.part)
        stream = batch % self.lanes * self.width + place % self.width
        out = np.empty_like(order)
        out[np.argsort(stream, kind="stable")] = order
        return out
