"""What several predictions of one sample, drawn under noise of their own, say together: their spread and their error.

Of m draws x_i of a truth y: the fair CRPS is <|x_i - y|>_i - sum_(i<j) |x_i - x_j| / (m (m - 1)) (Ferro 2014,
doi:10.1002/qj.2270), spread^2 the mean variance of the draws, with m - 1 in its denominator. The truth being like one
more draw, sqrt((m + 1) / m) spread is the RMSE of the mean of the draws (Fortin et al. 2014,
doi:10.1175/JHM-D-14-0008.1): their ratio, spread over skill, is 1, and the rank of the truth among the draws is any
with equal frequency. The first holds for every Fourier mode as well.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from . import Part, parts, refuse_nonfinite
from .comparison import Comparison

__all__ = ["Field", "compare_draws"]

EDGE = 64  # of the blocks of voxels that are held of all draws at once, as the chunks of predictions
Values = Iterator[tuple[str, float | None, float]]


class Field(Protocol):
    """Numbers (C, *space), in memory or in a file, that are read as they are sliced."""

    shape: tuple[int, ...]

    def __getitem__(self, place: Any) -> np.ndarray: ...


def compare_draws(
    draws: Sequence[Field],
    truth: np.ndarray,
    box_size: tuple[float, ...],
    around: tuple[bool, ...],
    quantities: Iterable[tuple[str, int]],
) -> list[tuple[str, str, float | None, float]]:
    """(field, metric, x, value) of two or more draws, each like `truth` (C, *space), part by part as in `compare`.

    Rows: `crps`, `spread`, `mean_rmse` [the field's unit], the RMSE of the mean of the draws, and `spread_skill`; x is
    none. `rank`, how often the truth is above x of the draws over how often it should be, ties divided evenly. With
    x = k [h/Mpc] `power_draws`, `transfer_draws`, of which P and T are the draws' mean, `..._spread`, their standard
    deviation, and `spread_skill_spectrum`, the ratio in each shell.
    What is undefined is left out, as are voxels whose truth is not finite.

    Memory is a few whole parts of one draw and a block of all of them. Densities of all draws are kept in a temporary
    file (TMPDIR), a float32 a voxel and draw. Time: four FFTs a draw and channel, and for densities four paintings.
    """
    finite = np.isfinite(truth)
    known = None if finite.all() else finite
    truth = truth if known is None else np.where(known, truth, 0)
    rows = []
    for part in parts(quantities, around):
        own = [_Part(draw, part.channels, known) for draw in draws]
        for name, values in _judged(own, truth[part.channels], tuple(box_size), around, part):
            for metric, x, value in values:
                refuse_nonfinite(f"draws of {name}: {metric}", x, value)
                rows.append((name, metric, None if x is None else float(x), float(value)))
    return rows


@dataclass(frozen=True)
class _Part:
    """Some channels of a draw, zero where the truth is not known."""

    draw: Field
    channels: slice
    known: np.ndarray | None

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        """A region of all channels of the part, (C, *edges)."""
        values = self.draw[(self.channels, *place)]
        return values if self.known is None else np.where(self.is_known(place), values, 0)

    def is_known(self, place: tuple[slice, ...]) -> Any:
        """Which values of a region count."""
        return ... if self.known is None else self.known[(self.channels, *place)]


def _judged(
    draws: Sequence[_Part],
    truth: np.ndarray,
    box_size: tuple[float, ...],
    around: tuple[bool, ...],
    part: Part,
) -> Iterator[tuple[str, Values]]:
    """(field, values) of a part, and of the density to which it moves matter, if it does."""

    def compare(values: np.ndarray, other: np.ndarray) -> Comparison:
        return Comparison(values, other, box_size, part.name, around)

    yield part.name, _values(draws, truth, compare, (compare(draw[()], truth) for draw in draws))
    if part.density is None:
        return
    with tempfile.TemporaryFile() as file:
        shape = (len(draws), 1, *truth.shape[1:])
        painted = np.memmap(file, np.float32, "w+", shape=shape)  # type: ignore[call-overload]
        moved = _painted(draws, truth, box_size, painted)
        first = next(moved)
        every = [_Part(one, slice(None), None) for one in painted]
        yield part.density, _values(every, first.truth, compare, itertools.chain([first], moved))


def _painted(
    draws: Sequence[_Part], truth: np.ndarray, box_size: tuple[float, ...], painted: np.ndarray
) -> Iterator[Comparison]:
    """The density of each draw beside that of the truth; it is kept in `painted`."""
    for place, draw in enumerate(draws):
        comparison = Comparison.of_displacement(draw[()], truth, box_size)
        painted[place] = comparison.prediction
        yield comparison


def _values(
    draws: Sequence[_Part],
    truth: np.ndarray,
    compare: Callable[[np.ndarray, np.ndarray], Comparison],
    comparisons: Iterable[Comparison],
) -> Values:
    """All values of one field; `comparisons` are of each draw with the truth, in turn."""
    yield from _amplitudes(comparisons)
    voxels = _Voxels(len(draws))
    mean = np.empty(truth.shape, np.float32)
    for place in _blocks(truth.shape[1:]):
        block = np.stack([draw[place] for draw in draws]).astype(np.float64)
        mean[:, *place] = block.mean(axis=0)
        here = draws[0].is_known(place)
        voxels.take(block[:, here], truth[:, *place][here].astype(np.float64))
    yield from voxels.values()
    error = mean - truth
    found = [compare(draw[()] - mean, error).spectra for draw in draws]
    spread = sum(one.power_a for one in found) / (len(draws) - 1)
    for k, within, wrong in zip(found[0].k, spread, found[0].power_b, strict=True):
        if wrong > 0:
            yield "spread_skill_spectrum", k, np.sqrt((len(draws) + 1) / len(draws) * within / wrong)


def _amplitudes(comparisons: Iterable[Comparison]) -> Values:
    """Mean and standard deviation of P and T over the draws."""
    powers = []
    for found in (comparison.spectra for comparison in comparisons):
        powers.append(found.power_a)
    transfers = np.sqrt(np.divide(powers, found.power_b, where=found.power_b > 0, out=np.zeros_like(powers)))
    for name, each in (("power_draws", np.array(powers)), ("transfer_draws", transfers)):
        for k, truth, values in zip(found.k, found.power_b, each.T, strict=True):
            if truth > 0 or name == "power_draws":
                yield name, k, values.mean()
                yield f"{name}_spread", k, values.std(ddof=1)


def _blocks(space: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Regions of a field that fill it."""
    return itertools.product(*([slice(a, a + EDGE) for a in range(0, n, EDGE)] for n in space))


class _Voxels:
    """Sums over voxels of what `m` draws are worth in each."""

    def __init__(self, m: int) -> None:
        self.m, self.count = m, 0
        self.crps = self.variance = self.error = 0.0
        self.ranks = np.zeros(m + 1)

    def take(self, draws: np.ndarray, y: np.ndarray) -> None:
        """Count the values (m, ...) of the draws and (...) of the truth, float64."""
        x, m = np.sort(draws, axis=0), self.m
        apart = np.tensordot(2 * np.arange(m) - m + 1, x, 1) / (m * (m - 1))
        self.crps += float((np.abs(x - y).mean(axis=0) - apart).sum())
        self.variance += float(x.var(axis=0, ddof=1).sum())
        self.error += float(np.square(x.mean(axis=0) - y).sum())
        self.count += y.size
        self._rank((x < y).sum(axis=0), (x == y).sum(axis=0))

    def _rank(self, below: np.ndarray, equal: np.ndarray) -> None:
        """A truth that `equal` draws tie with has each of so many ranks and one more with the same chance."""
        size = self.m + 1
        times = np.bincount((below * size + equal).ravel(), minlength=size * size).reshape(size, size)
        for first, ties in np.argwhere(times):
            self.ranks[first : first + ties + 1] += times[first, ties] / (ties + 1)

    def values(self) -> Values:
        """The means over all voxels."""
        spread, error = np.sqrt(self.variance / self.count), np.sqrt(self.error / self.count)
        yield "crps", None, self.crps / self.count
        yield "spread", None, spread
        yield "mean_rmse", None, error
        if error > 0:
            yield "spread_skill", None, np.sqrt((self.m + 1) / self.m) * spread / error
        for rank, times in enumerate(self.ranks):
            yield "rank", rank, times * (self.m + 1) / self.count
