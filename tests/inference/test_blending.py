"""Tiles that overlap: their weights add up to one at every voxel, and a network without boundaries cannot be seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.blending import admit, blended, ramp, spans
from m2m_core.data.predictions import covering
from m2m_core.errors import ConfigError, RunError
from m2m_core.models import Geometry


@st.composite
def tilings(draw):
    """(length, edge, overlap, around) of each axis."""
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 12))
        edge = draw(st.integers(1, length))
        axes.append((length, edge, draw(st.integers(0, edge // 2)), draw(st.booleans())))
    return axes


def whole(axes, predict, scale=1, channels=1):
    shape = channels, *(scale * length for length, *_ in axes)
    out = np.full(shape, np.nan, "f4")
    for place, block in covering(shape, blended([spans(*axis, scale) for axis in axes], predict)):
        out[place] = block
    return out


def cut(field, axes, scale=1):
    """What predicts a tile as the part of a periodic field that lies there."""

    def predict(corner):
        places = [(a + np.arange(n)) % length for a, (length, n, *_) in zip(corner, axes, strict=True)]
        block = field[:, *np.ix_(*places)]
        for axis in range(len(axes)):
            block = block.repeat(scale, axis + 1)
        return block

    return predict


@settings(max_examples=80)
@given(tilings(), st.integers(1, 2))
def test_tiles_that_agree_give_the_field_to_the_bit(axes, scale):
    field = np.random.default_rng(0).standard_normal((2, *(length for length, *_ in axes))).astype("f4")
    expected = field
    for axis in range(len(axes)):
        expected = expected.repeat(scale, axis + 1)
    assert np.array_equal(whole(axes, cut(field, axes, scale), scale, channels=2), expected)


@settings(max_examples=30)
@given(tilings())
def test_the_weights_of_the_tiles_add_up_to_one_everywhere(axes):
    """Each tile in turn is one where the others are zero: what is left of it are its weights."""
    corners = {}

    def count(corner):
        corners.setdefault(corner, len(corners))
        return np.zeros((1, *(edge for _, edge, *_ in axes)), "f4")

    whole(axes, count)
    edges = [edge for _, edge, *_ in axes]
    weights = [whole(axes, lambda corner, one=one: np.full((1, *edges), float(corner == one), "f4")) for one in corners]
    assert all(w.min() >= 0 for w in weights)
    np.testing.assert_allclose(sum(weights), 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 1000])
def test_both_ramps_add_up_to_one_exactly_and_rise(count):
    weights = ramp(count)
    assert np.array_equal(weights + (1 - weights), np.ones(count)) and (np.diff(weights) > 0).all()
    assert np.array_equal(weights + weights[::-1], np.ones(count)) and 0 < weights[0] and weights[-1] < 1


def test_one_tile_passes_into_the_next_along_a_line():
    blocks = list(blended([spans(12, 8, 4, False)], lambda corner: np.full((1, 8), float(corner[0] > 0), "f4")))
    assert [(place[1].start, place[1].stop) for place, _ in blocks] == [(0, 4), (4, 8), (8, 12)]
    assert np.concatenate([block for _, block in blocks], 1).tolist() == [
        [0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1]
    ]


def test_around_a_periodic_box_there_is_no_seam():
    """Tiles that get brighter step by step: the last one is blended with the first."""
    axes = [(16, 8, 4, True)]
    field = whole(axes, lambda corner: np.full((1, 8), corner[0], "f4"))[0]
    jumps = np.abs(np.diff(field, append=field[:1]))
    assert jumps.max() <= 12 / 4  # without blending 12 at once
    open_box = whole([(16, 8, 4, False)], lambda corner: np.full((1, 8), corner[0], "f4"))[0]
    assert abs(open_box[-1] - open_box[0]) == 8


def test_without_overlap_tiles_are_put_beside_each_other():
    assert [(s.corner, s.skip, s.start, s.stop, s.lead, s.tail) for s in spans(10, 6, 0, True)] == [
        (0, 0, 0, 6, 0, 0),
        (4, 2, 6, 10, 0, 0),
    ]


def test_a_hole_and_a_voxel_twice_are_refused():
    shape, block = (2, 4, 4), np.zeros((2, 2, 4))
    for pieces, bad in (([(0, 2)], 16), ([(0, 2), (3, 4)], 8), ([(0, 2), (2, 4), (1, 2)], 8), ([], 32)):
        blocks = [((slice(None), slice(*piece), slice(None)), block) for piece in pieces]
        with pytest.raises(RunError, match=f"sample: {bad} of 32 values are not predicted exactly once"):
            list(covering(shape, blocks))


def test_a_tiling_with_a_hole_is_refused():
    axes = [spans(16, 8, 2, False)]
    del axes[0][1]
    with pytest.raises(RunError, match="of 16 values are not predicted exactly once"):
        list(covering((1, 16), blended(axes, lambda corner: np.zeros((1, 8), "f4"))))


@pytest.mark.parametrize(
    "overlap, complaint",
    [
        ([6, 6], "inference.overlap: 6 voxels of tiles of 8; expected at most 4"),
        ([2, 0], "inference.overlap: 2; the model takes multiples of 4, nearest 4"),
    ],
)
def test_an_overlap_that_is_none_is_refused(overlap, complaint):
    with pytest.raises(ConfigError, match=complaint):
        admit(overlap, [8, 8], Geometry(4, 4, "valid"))
