"""Memory for the arrays of a batch, side by side: a pass through memory less for each example."""

from collections.abc import Sequence

import numpy as np

__all__ = ["Room"]


class Room:
    """Places of one batch of `count` examples after the other; numbers alone, never values, are remembered."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.open: dict[str, tuple[np.ndarray, int]] = {}  # part of an example -> its memory, places that are taken

    def __getstate__(self) -> dict:
        return {"count": self.count, "open": {}}

    def place(self, part: str, shape: Sequence[int]) -> np.ndarray:
        """Where the next example has this part of it: (*shape) float32, of any content."""
        memory, taken = self.open.get(part, (np.empty((0, *shape), np.float32), 0))
        if taken == len(memory) or memory.shape[1:] != tuple(shape):
            memory, taken = np.empty((self.count, *shape), np.float32), 0
        self.open[part] = memory, taken + 1
        return memory[taken]

    def joined(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The arrays of a batch along a first axis: where they are, if they lie side by side, else a copy of them."""
        self.open.clear()
        memory = arrays[0].base
        if not isinstance(memory, np.ndarray) or memory.shape[1:] != arrays[0].shape or len(memory) < len(arrays):
            return np.stack(arrays)
        there = all(_same(array, place) for array, place in zip(arrays, memory, strict=False))
        return memory[: len(arrays)] if there else np.stack(arrays)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are the same memory, value by value."""
    known = ("shape", "strides", "dtype")
    return one.ctypes.data == other.ctypes.data and all(getattr(one, k) == getattr(other, k) for k in known)
