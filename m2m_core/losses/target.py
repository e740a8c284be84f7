"""What is known of the target field before training, and the shells of wave numbers in its crops: without torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError

__all__ = ["Target", "shells"]

TIES = 1.0e-12  # relative: waves on the edge of a shell are in the upper one


@dataclass(frozen=True)
class Target:
    """What a loss may depend on; before files are read not the kinds of the parts, nor always edges.

    transform, scaling: how it is normalised
    quantities: (quantity, channels if they are known) of its parts
    space, cell: edges of a crop [voxels] and of a voxel [Mpc/h], one an axis
    """

    transform: str
    scaling: str
    quantities: Sequence[tuple[str, int | None]] | None = None
    space: tuple[int, ...] | None = None
    cell: tuple[float, ...] | None = None


def shells(space: Sequence[int], cell: Sequence[float], k_min: float) -> tuple[float, int, int]:
    """(width [h/Mpc], first, last): shells [j, j + 1) width, first <= j < last, between k_min and every Nyquist.

    The width is the fundamental frequency of the longest axis. Raises ConfigError if there is no shell.
    """
    width = 2.0 * math.pi / max(n * edge for n, edge in zip(space, cell, strict=True))
    highest = math.pi / max(cell)
    first, last = max(1, math.ceil(k_min / width * (1.0 - TIES))), int(highest / width * (1.0 + TIES))
    if first >= last:
        text = f"k_min: {k_min} h/Mpc, in crops whose shells end at {last * width:.4g} h/Mpc"
        raise ConfigError(f"{text}; expected at most {max(last - 1, 0) * width:.4g}")
    return width, first, last
