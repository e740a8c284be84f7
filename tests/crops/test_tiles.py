"""Tiles put every voxel once, and stitching what was cut gives back what it was cut from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.crops import stitch, tiles
from m2m_core.errors import ConfigError


@st.composite
def tilings(draw):
    shape = draw(st.lists(st.integers(1, 13), min_size=1, max_size=3))
    return tuple(shape), tuple(draw(st.integers(1, edge)) for edge in shape)


@settings(max_examples=200)
@given(tilings())
def test_stitched_crops_are_the_whole_and_every_voxel_is_put_once(case):
    shape, size = case
    field = np.arange(2 * np.prod(shape), dtype=float).reshape(2, *shape)
    whole, count = np.full_like(field, np.nan), np.zeros(shape, int)
    for tile in tiles(shape, size):
        assert tile.shape == size
        assert all(0 <= a and a + n <= edge for a, n, edge in zip(tile.start, size, shape, strict=True))
        inside = tuple(slice(a, a + n) for a, n in zip(tile.start, size, strict=True))
        stitch(whole, tile, field[:, *inside])
        count[tile.put] += 1
    assert (count == 1).all()
    assert np.array_equal(whole, field)


def test_the_last_tile_is_moved_back_and_keeps_what_is_missing():
    first, last = tiles((10,), 6)
    assert (first.start, first.keep, first.put) == ((0,), (slice(0, 6),), (slice(0, 6),))
    assert (last.start, last.keep, last.put) == ((4,), (slice(2, 6),), (slice(6, 10),))


def test_one_tile_is_the_whole():
    (tile,) = tiles((4, 6, 8), [4, 6, 8])
    assert tile.keep == tile.put == (slice(0, 4), slice(0, 6), slice(0, 8))


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="inference.tile: 9, but the field has 8 voxels along an axis; at most 8"):
        tiles((16, 8), 9)
    with pytest.raises(ConfigError, match="here: 3 numbers for fields with 2 axes"):
        tiles((16, 8), [4, 4, 4], "here")
