"""What a prediction is judged by: one metric a file, each a function of a Comparison, named in the config."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from .. import registry
from ..errors import DataError
from .comparison import Comparison

__all__ = ["Comparison", "Part", "compare", "parts", "refuse_nonfinite"]


class Part(NamedTuple):
    """A part of a field as it is judged; `density` names what it moves matter to, if that is judged as well."""

    name: str
    channels: slice
    density: str | None


NAMES = {"scalar": "field"}  # of a part in the table, where it is not its quantity


def compare(
    prediction: np.ndarray,
    truth: np.ndarray,
    box_size: tuple[float, ...],
    around: tuple[bool, ...],
    quantities: Iterable[tuple[str, int]],
    metrics: Mapping[str, Mapping],
) -> list[tuple[str, str, float | None, float]]:
    """(field, metric, x, value) of every metric (name -> options) on every part of `prediction` (C, *space).

    `quantities` are the (quantity, channels) of the parts in turn. A scalar part is called "field", others by their
    quantity, a second one of a name "field_2". In boxes that go `around` along all axes a displacement, one component
    an axis, is judged once more as the "density" to which it moves a lattice of particles. A metric skips what is
    undefined.
    Raises DataError when shapes differ, a value is not finite, or a metric gives one that is not.
    """
    rows = []
    for comparison in _parts(prediction, truth, tuple(box_size), around, list(quantities)):
        for name, options in metrics.items():
            for metric, x, value in registry.load("metric", name)(comparison, **options):
                x, value = None if x is None else float(x), float(value)
                refuse_nonfinite(f"metric {name} of {comparison.field}: {metric}", x, value)
                rows.append((comparison.field, metric, x, value))
    return rows


def _parts(
    prediction: np.ndarray, truth: np.ndarray, box_size: tuple[float, ...], around: tuple[bool, ...], quantities: list
) -> Iterator[Comparison]:
    if not len(prediction) == len(truth) == sum(channels for _, channels in quantities):
        raise DataError(f"prediction of {len(prediction)} channels, truth of {len(truth)}; expected {quantities}")
    for part in parts(quantities, around):
        pair = prediction[part.channels], truth[part.channels]
        yield Comparison(*pair, box_size, part.name, around)
        if part.density:
            yield Comparison.of_displacement(*pair, box_size, part.density)


def parts(quantities: Iterable[tuple[str, int]], around: tuple[bool, ...]) -> Iterator[Part]:
    """What is judged of a field with these (quantity, channels), in turn; see `compare`."""
    seen: Counter[str] = Counter()
    start = 0
    for quantity, count in quantities:
        channels, start = slice(start, start + count), start + count
        seen[quantity] += 1
        suffix = f"_{seen[quantity]}" if seen[quantity] > 1 else ""
        moves = quantity == "displacement" and count == len(around) and all(around)
        yield Part(NAMES.get(quantity, quantity) + suffix, channels, f"density{suffix}" if moves else None)


def refuse_nonfinite(where: str, x: float | None, value: float) -> None:
    """Raise DataError unless both numbers are finite."""
    if not math.isfinite(value) or not (x is None or math.isfinite(x)):
        raise DataError(f"{where}: value {value} at x = {x}; expected finite numbers")
