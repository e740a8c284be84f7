"""Tiles that overlap, blended where they do: a whole field, each voxel given out once, as soon as it is done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import ConfigError
from .models import Geometry

__all__ = ["Block", "Span", "admit", "blended", "ramp", "spans"]

Block = tuple[tuple[slice, ...], np.ndarray]  # where in the whole, values


@dataclass(frozen=True)
class Span:
    """What one tile gives along one axis.

    corner: first voxel of the tile, of the input
    skip: voxels at its beginning that are not used
    start, stop: the voxels that it gives; of these `lead` are those of the tile before as well, `tail` of the next
    """

    corner: int
    skip: int
    start: int
    stop: int
    lead: int
    tail: int


def admit(overlap: Sequence[int], size: Sequence[int], geometry: Geometry, where: str = "inference.overlap") -> None:
    """Refuse an overlap of more than half a tile, where three would meet, or that would move the coarse voxels of
    a model; raises ConfigError."""
    for shared, edge in zip(overlap, size, strict=True):
        if 2 * shared > edge:
            raise ConfigError(f"{where}: {shared} voxels of tiles of {edge}; expected at most {edge // 2}")
    geometry.admit([shared for shared in overlap if shared], where)


def ramp(count: int) -> np.ndarray:
    """Weights of the tile behind in `count` voxels that two tiles share, (count,) float32; the other has the rest."""
    return ((np.arange(count) + 0.5) / count).astype("f4")


def spans(length: int, edge: int, overlap: int, around: bool, scale: int = 1) -> list[Span]:
    """Tiles of `edge` voxels along an axis of `length`, each sharing `overlap` with the next; `scale`: of the output.

    The last is moved back to fit. `around` a periodic axis the last goes beyond the end and shares what it has there
    with the first, at most `overlap`.
    """
    if edge >= length:
        return [Span(0, 0, 0, scale * length, 0, 0)]
    beyond = overlap if around else 0
    stops = [edge]
    while stops[-1] < length or (beyond and stops[-1] == length):
        stops.append(min(stops[-1] + edge - overlap, length + beyond))
    seam = stops[-1] - length
    starts = [0, *(stop - overlap for stop in stops[:-1])]
    leads = [seam, *[overlap] * (len(stops) - 1)]
    tails = [*leads[1:], seam]
    return [
        Span(stop - edge, *(scale * n for n in (start - stop + edge, start, stop, lead, tail)))
        for start, stop, lead, tail in zip(starts, stops, leads, tails, strict=True)
    ]


def blended(axes: Sequence[Sequence[Span]], predict: Callable[[tuple[int, ...]], np.ndarray]) -> Iterator[Block]:
    """The blocks of a whole field (C, *space), each voxel once, out of tiles (C, *edges) that `predict` makes of
    their corners; where tiles overlap, one passes into the other along a ramp.

    axes: the `spans` of each axis. Memory is that of a tile and of what waits for the next one: of the first axis a
    layer as thick as the overlap. Two tiles that agree give what they agree on, to the bit.
    """
    for place, values in _along(axes, (), predict):
        yield (slice(None), *place), values


def _along(axes: Sequence[Sequence[Span]], before: tuple[Span, ...], predict: Callable) -> Iterator[Block]:
    """Blocks of a row of tiles, places along the axes that follow those of `before`; whole tiles along the others."""
    axis = len(before)
    if axis == len(axes):
        yield (), predict(tuple(span.corner for span in before))
        return
    waiting: dict[tuple[int, ...], np.ndarray] = {}  # the end of the tile before, by its place along the axes behind
    begun: dict[tuple[int, ...], Block] = {}  # the beginning of the first tile, which waits for the last one
    for number, span in enumerate(axes[axis]):
        for place, values in _along(axes, (*before, span), predict):
            key = tuple(piece.start for piece in place)
            lead, middle, tail = _parted(values, span, axis)
            if span.lead and not number:
                begun[key] = place, lead.copy()
            elif span.lead:
                yield (slice(span.start, span.start + span.lead), *place), _mixed(waiting.pop(key), lead, axis)
            if middle.size:
                yield (slice(span.start + span.lead, span.stop - span.tail), *place), middle
            if span.tail:
                waiting[key] = tail.copy()
    for key, (place, lead) in begun.items():
        yield (slice(0, axes[axis][0].lead), *place), _mixed(waiting.pop(key), lead, axis)


def _parted(values: np.ndarray, span: Span, axis: int) -> list[np.ndarray]:
    """What is shared with the tile before, what is not shared, and what is shared with the next."""
    edges = np.cumsum([span.skip, span.lead, span.stop - span.start - span.lead - span.tail, span.tail])
    around = (slice(None),) * (axis + 1)
    return [values[*around, a:b] for a, b in zip(edges, edges[1:], strict=False)]


def _mixed(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    weights = ramp(one.shape[axis + 1]).reshape(-1, *[1] * (one.ndim - axis - 2))
    return one + weights * (other - one)
