"""Noise by position: a normal number for each voxel of a sample, whichever tile asks for it, and nothing is stored."""

from collections.abc import Sequence

import numpy as np

__all__ = ["APART", "FACTORS", "ODD", "SHIFTS", "normal"]

ODD = np.uint64(0x9E3779B97F4A7C15)  # of SplitMix64 (Steele et al. 2014), as are shifts and factors
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
APART = np.uint64(0xD1B54A32D192ED03)  # between the two numbers that a voxel's normal number is made of


def normal(
    seed: int, field: int, start: Sequence[int], edges: Sequence[int], whole: Sequence[int | None] | None = None
) -> np.ndarray:
    """Standard normal numbers (*edges), float32, of the voxels from `start` on, of noise number `field` of a sample.

    whole: edges after which the noise repeats itself, as a periodic sample does; None along an axis that does not
    Each number is a function of (seed, field, voxel) alone: Box-Muller of two hashes. Cost grows with the edges.
    """
    state = _mixed(np.asarray([seed % 2**64], np.uint64) + ODD) ^ np.uint64(field)
    for axis, (first, edge) in enumerate(zip(start, edges, strict=True)):
        places = np.arange(first, first + edge)
        period = whole[axis] if whole is not None else None
        places = places if period is None else places % period
        state = _mixed(state[..., None] + ODD * (places.astype(np.int64).view(np.uint64) + np.uint64(1)))
    state = state[0]
    radius = np.sqrt(-2 * np.log(_uniform(_mixed(state))))
    return (radius * np.cos(2 * np.pi * _uniform(_mixed(state ^ APART)))).astype(np.float32)


def _mixed(x: np.ndarray) -> np.ndarray:
    """64 bits, each of which depends on all of the input's."""
    for shift, factor in zip(SHIFTS, FACTORS, strict=False):
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> SHIFTS[-1])


def _uniform(x: np.ndarray) -> np.ndarray:
    """Numbers in (0, 1] out of the upper 53 bits."""
    return ((x >> np.uint64(11)) + np.uint64(1)).astype(np.float64) / 2.0**53
