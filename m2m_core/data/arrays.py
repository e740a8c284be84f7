"""The arrays that the parts of fields are: checked against the catalogue, with their channel axis, factors and sums."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .readers import Array, Header, header, open_array, printable

__all__ = ["fits", "opened"]


def opened(part: Any) -> Array:
    """The array (channels, *space) of a part, read when it is sliced: times its factor, and with its terms added.

    Raises DataError where a file is not what the catalogue says.
    """
    everything = (part, *part.terms)
    arrays = [_array(one) for one in everything]
    if part.factor == 1.0 and not part.terms:
        return arrays[0]
    return Sum(arrays, [one.factor for one in everything])


def fits(found: Header, part: Any) -> bool:
    """Whether an array is the one of the catalogue, its channel axis or no axis for its only channel before it."""
    return (found.size, found.dtype) == (part.size, part.dtype) and part.shape in (found.shape, (1, *found.shape))


class Sum:
    """Arrays of one shape, each times a factor, added up: float32."""

    def __init__(self, arrays: Sequence[Array], factors: Sequence[float]) -> None:
        self.arrays, self.factors = arrays, [np.float32(factor) for factor in factors]
        self.shape, self.dtype = arrays[0].shape, np.dtype("f4")
        self.chunks = getattr(arrays[0], "chunks", (1,) * len(self.shape))

    def __getitem__(self, key: Any) -> np.ndarray:
        total = np.multiply(self.arrays[0][key], self.factors[0], dtype="f4", casting="same_kind")
        for array, factor in zip(self.arrays[1:], self.factors[1:], strict=True):
            total += np.multiply(array[key], factor, dtype="f4", casting="same_kind")
        return total

    def __len__(self) -> int:
        return self.shape[0]


class OneChannel:
    """A chunked array (*space) as (1, *space)."""

    def __init__(self, array: Any) -> None:
        self.array, self.dtype = array, array.dtype
        self.shape, self.chunks = (1, *array.shape), (1, *array.chunks)

    def __getitem__(self, key: Any) -> np.ndarray:
        channel, *place = key if isinstance(key, tuple) else (key,)
        values = np.asarray(self.array[tuple(place)] if place else self.array[...])
        return values[None][channel]

    def __len__(self) -> int:
        return 1


def _array(part: Any) -> Array:
    now = header(part.file, part.dataset)
    if not fits(now, part):
        word = next((word for word in ("size", "dtype") if getattr(now, word) != getattr(part, word)), "shape")
        change = f"{word} {getattr(part, word)} then, {getattr(now, word)} now"
        raise DataError(f"{printable(part.file)}: changed since the catalogue was made: {change}")
    array = open_array(part.file, part.dataset)
    if now.shape == part.shape:
        return array
    return array[None] if isinstance(array, np.ndarray) else OneChannel(array)
