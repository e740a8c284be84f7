"""Values drawn at random: a pure function of (seed, number, key), so that more draws or keys change none."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .variation import Range

__all__ = ["drawn", "ends"]

CORNERS = 256  # combinations that are worth trying


def drawn(draw: Mapping[str, Sequence | Range], seed: int, number: int) -> dict[str, Any]:
    """Key -> value of draw `number`; key -> a list of values, or a range, in `draw`."""
    return {key: _value(source, _uniform(seed, number, key)) for key, source in draw.items()}


def ends(draw: Mapping[str, Sequence | Range]) -> list[dict[str, Any]]:
    """Combinations of the bounds and the listed values: all of them if they are few, else each value at least once."""
    lists = {key: [source.low, source.high] if isinstance(source, Range) else source for key, source in draw.items()}
    if math.prod(map(len, lists.values())) <= CORNERS:
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    most = max(map(len, lists.values()))
    return [{key: values[i % len(values)] for key, values in lists.items()} for i in range(most)]


def _uniform(*place: int | str) -> float:
    """A number in [0, 1) that depends on `place` alone."""
    return int(hashlib.sha256(json.dumps(place).encode()).hexdigest()[:13], 16) / 16**13


def _value(source: Sequence | Range, u: float) -> Any:
    if not isinstance(source, Range):
        return source[int(u * len(source))]
    if source.is_whole:
        return min(math.floor(_between(source.low, source.high + 1, source.log, u)), source.high)
    return _rounded(_between(source.low, source.high, source.log, u), source)


def _between(low: float, high: float, log: bool, u: float) -> float:
    return low * (high / low) ** u if log else low + u * (high - low)


def _rounded(value: float, source: Range) -> float:
    """To a thousandth of the range, or of a value of a logarithmic one if that is finer: short, and never outside."""
    width = source.high - source.low
    scale = min(value, width) if source.log else width
    return float(min(max(round(value, 3 - math.floor(math.log10(scale))), source.low), source.high))
