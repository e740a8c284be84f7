"""Symmetries of the square and the cube as a group, and what they do to scalars, vectors and their derivatives."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.data.augment import Symmetry, draw, draw_change, identity
from m2m_core.errors import DataError


def group(dims):
    """All symmetries of the cube of `dims` dimensions."""
    signs = list(itertools.product((1, -1), repeat=dims))
    return [Symmetry(axes, sign) for axes in itertools.permutations(range(dims)) for sign in signs]


def field(channels, space, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, *space), dtype=np.float32)


# ---- the group


@pytest.mark.parametrize(("dims", "order"), [(1, 2), (2, 8), (3, 48)])
def test_there_are_as_many_symmetries_as_of_the_cube_and_all_are_drawn_equally_often(dims, order):
    rng = np.random.default_rng(1)
    drawn = [draw(rng, ["flip", "permute"], (4,) * dims, (8,) * dims, True) for _ in range(100 * order)]
    count = {symmetry: drawn.count(symmetry) for symmetry in group(dims)}
    assert len(count) == order and sum(count.values()) == len(drawn)
    assert sum((n - 100) ** 2 / 100 for n in count.values()) < 2 * order + 10
    x = field(dims, (3,) * dims)
    assert len({s.apply(x, [("vector", dims)]).tobytes() for s in group(dims)}) == order


@pytest.mark.parametrize("dims", [2, 3])
def test_one_after_another_is_one_again(dims):
    x, quantities = field(dims + 1, (2,) * dims), [("vector", dims), ("scalar", 1)]
    everything = group(dims)
    for first, second in itertools.product(everything, everything[:: max(1, len(everything) // 12)]):
        both = second.after(first)
        assert both in everything
        assert np.array_equal(both.apply(x, quantities), second.apply(first.apply(x, quantities), quantities))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_inverse_undoes_every_bit(dims):
    x, quantities = field(2 * dims + 3, (4,) * dims), [("scalar", 2), ("displacement", 2 * dims), ("scalar", 1)]
    x[0, 0] = -0.0
    for symmetry in group(dims):
        back = symmetry.inverse().apply(symmetry.apply(x, quantities), quantities)
        assert back.tobytes() == x.tobytes()
        assert symmetry.inverse().after(symmetry) == identity(dims) == symmetry.after(symmetry.inverse())


# ---- fields


def gradient(scalar):
    """The central differences of a periodic scalar (1, *space), as a vector field."""
    axes = range(1, scalar.ndim)
    return np.concatenate([(np.roll(scalar, -1, axis) - np.roll(scalar, 1, axis)) / 2 for axis in axes])


@pytest.mark.parametrize("dims", [2, 3])
def test_the_gradient_turns_with_the_field(dims):
    phi = field(1, (6,) * dims)
    for symmetry in group(dims):
        left = gradient(symmetry.apply(phi, [("scalar", 1)]))
        assert np.array_equal(left, symmetry.apply(gradient(phi), [("vector", dims)]))


def test_the_curl_turns_as_a_pseudovector():
    """The curl of a vector field does not change its sign with the axes, but with the handedness."""

    def curl(v):
        slope = np.stack([gradient(v[c : c + 1]) for c in range(3)])  # (component, axis, *space)
        return np.stack([slope[2, 1] - slope[1, 2], slope[0, 2] - slope[2, 0], slope[1, 0] - slope[0, 1]])

    velocity = field(3, (6, 6, 6))
    for symmetry in group(3):
        left = curl(symmetry.apply(velocity, [("vector", 3)]))
        assert np.array_equal(left, symmetry.apply(curl(velocity), [("pseudovector", 3)]))
    assert sum(symmetry.handedness for symmetry in group(3)) == 0


def test_a_vector_follows_its_particle():
    """Particles at q + psi(q) are the same set of points whichever way the box is looked at."""
    n, psi = 4, field(3, (4, 4, 4))

    def points(displacement):
        return (np.indices((n,) * 3) + 0.5 - n / 2 + displacement).reshape(3, -1)

    for symmetry in group(3):
        seen = points(symmetry.apply(psi, [("displacement", 3)]))
        turned = np.array(symmetry.signs)[:, None] * points(psi)[list(symmetry.axes)]
        assert np.allclose(seen[:, np.lexsort(seen)], turned[:, np.lexsort(turned)], atol=1e-5)


def test_three_scalars_in_three_dimensions_keep_their_signs():
    x = np.abs(field(3, (4, 4, 4))) + 1
    for symmetry in group(3):
        turned = symmetry.apply(x, [("scalar", 3)])
        assert turned.min() >= 1
        assert all(np.array_equal(np.sort(turned[c], axis=None), np.sort(x[c], axis=None)) for c in range(3))


def test_two_vectors_in_one_field_turn_alike():
    x = field(3, (4, 4, 4))
    both = np.concatenate([x, 2 * x])
    for symmetry in group(3):
        turned = symmetry.apply(both, [("vector", 6)])
        assert np.array_equal(turned[3:], 2 * turned[:3])
        assert np.array_equal(turned, symmetry.apply(both, [("displacement", 3), ("vector", 3)]))
        assert np.array_equal(turned[:3], symmetry.apply(x, [("vector", 3)]))


def test_results_are_contiguous_float32_and_the_argument_is_left_alone():
    x = field(3, (4, 4, 4))
    before = x.copy()
    for symmetry in group(3):
        for source in (x, x.astype(np.float64), np.asfortranarray(x)):
            out = symmetry.apply(source, [("vector", 3)])
            assert out.dtype == np.float32 and out.flags.c_contiguous
    assert np.array_equal(x, before)
    assert identity(3).apply(x, [("vector", 3)]) is x


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ([("vector", 2)], "'vector' with 2 channels; expected scalars, or a multiple of 3"),
        ([("tensor", 3)], "'tensor' with 3 channels"),
        ([("scalar", 2)], "3 channels, but quantities of 2"),
    ],
)
def test_channels_that_are_not_what_they_are_said_to_be_are_refused(quantities, message):
    for symmetry in (identity(3), Symmetry((1, 0, 2), (1, 1, -1))):
        with pytest.raises(DataError, match=message):
            symmetry.apply(field(3, (2, 2, 2)), quantities)


# ---- draws


@settings(max_examples=80)
@given(
    size=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    cells=st.lists(st.sampled_from([1.0, 2.5]), min_size=3, max_size=3),
    kinds=st.sets(st.sampled_from(["flip", "permute", "shift"])),
    seed=st.integers(0, 2**32),
)
def test_every_voxel_of_a_crop_of_any_edges_is_seen_once(size, cells, kinds, seed):
    cell = cells[: len(size)]
    symmetry = draw(np.random.default_rng(seed), kinds, size, [8] * len(size), True, cell)
    x = np.arange(np.prod(size), dtype=np.float32).reshape(1, *size)
    turned = symmetry.apply(x, [("scalar", 1)])
    assert turned.shape == x.shape
    assert np.array_equal(np.sort(turned, axis=None), x.ravel())
    for axis, other in enumerate(symmetry.axes):
        assert size[axis] == size[other] and cell[axis] == cell[other]
    if "flip" not in kinds:
        assert -1 not in symmetry.signs
    if "permute" not in kinds:
        assert symmetry.axes == tuple(range(len(size)))


def test_cells_that_differ_by_rounding_are_equal():
    rng, cell = np.random.default_rng(0), (100 / 3, 33.333333333333336, 99.99999999999999 / 3)
    assert len({draw(rng, ["permute"], (4,) * 3, (8,) * 3, True, cell).axes for _ in range(200)}) == 6


@pytest.mark.parametrize("periodic", [True, False])
def test_a_shift_goes_everywhere_it_may_and_nowhere_else(periodic):
    rng = np.random.default_rng(2)
    symmetries = [draw(rng, ["shift"], (4, 6), (6, 6), periodic) for _ in range(400)]
    starts = {symmetry.moved((2, 0)) for symmetry in symmetries}
    wanted = itertools.product(range(6 if periodic else 3), range(6 if periodic else 1))
    assert starts == set(wanted)


def test_shifts_do_not_add_up():
    symmetry = draw(np.random.default_rng(3), ["shift"], (4, 4), (16, 16), True)
    start = (8, 4)
    assert {symmetry.moved(start) for _ in range(100)} == {symmetry.moved((8, 4))}
    assert start == (8, 4)
    assert draw(np.random.default_rng(3), ["flip"], (4, 4), (16, 16), True).moved(start) == start


def test_equal_seeds_draw_equal_symmetries():
    def some(seed):
        rng = np.random.default_rng(seed)
        return [draw(rng, ["flip", "permute", "shift"], (4,) * 3, (16,) * 3, True) for _ in range(20)]

    assert some(1) == some(1) != some(2)


# ---- small changes


def changes(input, target, factor=0.3, offset=0.2, count=400):
    rng = np.random.default_rng(0)
    return [draw_change(rng, factor, offset, input, target, 3) for _ in range(count)]


def test_input_and_target_change_alike_whatever_else_they_hold():
    """Fields of different channel counts: parts of the same kind belong together, others stay as they are."""
    input = [("displacement", 3), ("scalar", 1)]
    for of_input, of_target in changes(input, [("scalar", 2), ("displacement", 3)]):
        assert np.array_equal(of_target.factor[2:], of_input.factor[:3])
        assert np.array_equal(of_target.offset[2:], of_input.offset[:3])
        assert np.array_equal(of_target.factor[:2], [1, 1]) and not of_target.offset[:2].any()
        assert len(of_input.factor) == len(of_input.offset) == 4


def test_two_parts_of_one_kind_change_each_with_its_own():
    parts = [("vector", 3), ("vector", 3)]
    of_input, of_target = changes(parts, parts, count=1)[0]
    assert np.array_equal(of_input.factor, of_target.factor) and np.array_equal(of_input.offset, of_target.offset)
    assert of_input.factor[0] != of_input.factor[3]


def test_the_components_of_a_vector_have_one_factor_and_spreads_are_as_said():
    drawn = [change for change, _ in changes([("vector", 6), ("scalar", 2)], [("vector", 6)])]
    factors, offsets = (np.log([c.factor for c in drawn]), np.array([c.offset for c in drawn]))
    assert np.array_equal(factors[:, 0], factors[:, 1]) and np.array_equal(factors[:, 0], factors[:, 2])
    assert not np.array_equal(factors[:, 0], factors[:, 3]) and not np.array_equal(factors[:, 6], factors[:, 7])
    assert factors.std() == pytest.approx(0.3, rel=0.1) and offsets.std() == pytest.approx(0.2, rel=0.1)
    assert abs(np.corrcoef(offsets[:, 0], offsets[:, 1])[0, 1]) < 0.2


def test_a_change_is_made_in_place():
    change, _ = changes([("scalar", 2)], [("scalar", 2)])[0]
    x = field(2, (3, 3))
    expected = x * change.factor[:, None, None] + change.offset[:, None, None]
    assert change.apply(x) is x and np.allclose(x, expected)


# ---- places


@pytest.mark.parametrize("periodic", [True, False])
def test_a_crop_moves_no_farther_than_is_said(periodic):
    rng = np.random.default_rng(0)
    drawn = [draw(rng, ["shift"], (4, 4), (16, 6), periodic, farthest=(5, 0)).shift for _ in range(300)]
    assert {a for a, _ in drawn} == set(range(6)) and {b for _, b in drawn} == {0}


def test_starts_never_drift():
    """However often a crop is read, its start moves by its own draw alone."""
    rng, start = np.random.default_rng(0), (0, 0, 0)
    for _ in range(100):
        moved = draw(rng, ["shift"], (4,) * 3, (64,) * 3, True, farthest=(3,) * 3).moved(start)
        assert start == (0, 0, 0) and max(moved) <= 3


def test_a_crop_stays_in_the_part_of_the_field_that_it_is_taken_from():
    """Else a validation region would leak into training."""
    rng = np.random.default_rng(0)
    seen = [draw(rng, ["shift"], (4,), (10,), [False]).moved((22,), (20,))[0] for _ in range(300)]
    assert set(seen) == set(range(20, 27))
