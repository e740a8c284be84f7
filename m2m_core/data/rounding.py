"""What is lost where values are read as float32, said before anything is learnt of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .catalogue import Catalogue, Part
from .readers import printable

__all__ = ["rounded"]

EXACT = 2**24  # all integers up to it are float32
TOLERATED = 0.01  # of the spread of a channel, that two neighbouring numbers may lie apart


def rounded(catalogue: Catalogue, rows: Iterable[Any], transform: Any = "identity") -> list[str]:
    """A line on integers that float32 has not, and one on values that it tells apart too coarsely; none if there are
    none.

    rows: the `Moments` of each channel under `transform`; under any but the identity, values say nothing of their size.
    """
    if transform != "identity":
        return []
    known = list(_parts(catalogue, rows))
    integers = [(part, row) for part, row in known if np.dtype(part.dtype).kind != "f" and _largest(row) > EXACT]
    coarse = [(p, r) for p, r in known if np.dtype(p.dtype).kind == "f" and _step(r) > TOLERATED * _spread(r) > 0]
    return [*_line(integers, _of_integers), *_line(coarse, _of_steps)]


def _parts(catalogue: Catalogue, rows: Iterable[Any]) -> Iterator[tuple[Part, Any]]:
    """The file of each channel that float32 does not hold as it is."""
    for row in rows:
        parts = catalogue[row.sample].parts(row.field)
        part = [part for part in parts for _ in range(part.shape[0])][row.channel]
        if not np.can_cast(np.dtype(part.dtype), "f4"):
            yield part, row


def _line(pairs: list[tuple[Part, Any]], text: Callable[[Any], str]) -> list[str]:
    if not pairs:
        return []
    files = len({part.file for part, _ in pairs})
    more = f" (and {files - 1} more file{'s' if files > 2 else ''})" if files > 1 else ""
    part, row = pairs[0]
    return [f"{printable(part.file)}: {text(row)}{more}"]


def _of_integers(row: Any) -> str:
    return f"integers of up to {_largest(row):.0f} are rounded to float32, which has all of them up to {EXACT} only"


def _of_steps(row: Any) -> str:
    size = f"values near {_largest(row):.6g} with a spread of {_spread(row):.2g}"
    return f"{size} are rounded to float32 in steps of {_step(row):.2g}: subtract what they have in common"


def _largest(row: Any) -> float:
    return max(abs(row.min), abs(row.max))


def _step(row: Any) -> float:
    """Between the largest value and the next float32."""
    return float(np.spacing(np.float32(_largest(row))))


def _spread(row: Any) -> float:
    return math.sqrt(row.m2 / row.count) if row.count else 0.0
