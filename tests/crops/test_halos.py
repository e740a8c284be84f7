"""Halos that are given, halos of targets, and lattices in boxes that are periodic along some axes alone."""
# ruff: noqa: E501 (errors stand here as they are printed)

import itertools

import numpy as np
import pytest

from m2m_core.crops import Crops, index
from m2m_core.data.augment import Symmetry
from m2m_core.errors import ConfigError, DataError
from m2m_core.models import Geometry
from tests.crops.test_crops import Fake, covered

VALID, ZERO, PERIODIC = Geometry(4, 2, "valid"), Geometry(0, 2, "zero"), Geometry(4, 2, "periodic")


def crops_of(size, geometry, space=(32, 32), around=True, **keys):
    return Crops(index([Fake("s", space, around)], size, None, geometry, **keys))


@pytest.mark.parametrize(
    ("geometry", "keys", "beyond"),
    [
        (VALID, {}, ((4, 4), (4, 4))),
        (VALID, {"target_halo": 2}, ((6, 6), (6, 6))),
        (VALID, {"target_halo": [[1, 3], 0]}, ((5, 7), (4, 4))),
        (VALID, {"halo": 6}, ((6, 6), (6, 6))),
        (VALID, {"halo": [6, [5, 7]]}, ((6, 6), (5, 7))),
        (VALID, {"halo": [[4, 8], 6], "target_halo": [[0, 2], 1]}, ((4, 8), (6, 6))),
        (ZERO, {"halo": 3}, ((3, 3), (3, 3))),
        (ZERO, {"target_halo": 1}, ((1, 1), (1, 1))),
        (PERIODIC, {"halo": 6}, ((6, 6), (6, 6))),
    ],
)
def test_what_is_read_around_a_crop(geometry, keys, beyond):
    crops = crops_of(8, geometry, **keys)
    assert crops.beyond == beyond and crops.halo == tuple(low for low, _ in beyond)


@pytest.mark.parametrize(
    ("geometry", "keys", "line"),
    [
        (VALID, {"halo": 3}, "crops.halo: 3, but the model reads 4 voxels on each side of what it makes; expected at least 4"),
        (VALID, {"halo": [4, [5, 2]]}, "crops.halo: 2, but the model reads 4 voxels"),
        (VALID, {"halo": 5, "target_halo": 2}, "crops.halo: 5, but the model reads 4 voxels on each side of what it makes; expected at least 6"),
        (VALID, {"halo": [[4, 5], 4]}, "crops.size with its halos: 9; the model takes multiples of 2, nearest 8 or 10"),
        (VALID, {"target_halo": [[1, 0], 0]}, "crops.size with its halos: 9; the model takes multiples of 2, nearest 8 or 10"),
        (VALID, {"halo": [4, 4, 4]}, "crops.halo: 3 for fields with 2 axes; expected one, or one an axis"),
        (VALID, {"target_halo": [1]}, "crops.target_halo: 1 for fields with 2 axes; expected one, or one an axis"),
        (VALID, {"halo": [[4, 22], 4]}, "crops.size: 8 with a halo of 4 before and 22 behind it reads 34 voxels, more than the period 32"),
        (ZERO, {"halo": 13}, "crops.size: 8 with a halo of 13 on both sides reads 34 voxels, more than the period 32"),
    ],
)  # fmt: skip
def test_halos_that_cannot_be(geometry, keys, line):
    with pytest.raises(ConfigError) as caught:
        crops_of(8, geometry, **keys)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("keys", [{"halo": 6}, {"target_halo": 1}])
def test_whole_boxes_that_close_on_themselves_have_no_halo(keys):
    with pytest.raises(
        ConfigError, match="^model.padding: periodic, which closes whole boxes on themselves, but there"
    ):
        crops_of(32, PERIODIC, **keys)


# ---- targets


@pytest.mark.parametrize("around", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("keys", [{}, {"start": [0, 6], "stop": [32, 30]}])
def test_what_is_learnt_stays_in_its_part_and_in_the_box(around, keys):
    crops = crops_of(6, ZERO, around=around, target_halo=[2, [3, 1]], **keys)
    assert crops.learnt == (10, 10)
    part = list(zip(keys.get("start", (0, 0)), keys.get("stop", (32, 32)), strict=True))
    count, whole = np.zeros((32, 32), int), [a and p == (0, 32) for a, p in zip(around, part, strict=True)]
    for start in crops.of("s").tolist():
        axes = []
        for a, (low, high), (begin, end), goes_on in zip(start, crops.target_halo, part, whole, strict=True):
            axis = np.arange(a - low, a + 6 + high)
            assert goes_on or (begin <= axis[0] and axis[-1] < end)
            axes.append(axis % 32)
        count[np.ix_(*axes)] += 1
    inside = tuple(slice(begin, end) for begin, end in part)
    assert (count[inside] > 0).all() and count.sum() == count[inside].sum()


def test_a_target_halo_needs_room():
    with pytest.raises(ConfigError, match="no room for a crop of 30, 2 voxels before and 2 behind it"):
        crops_of(30, ZERO, around=False, target_halo=2)


# ---- axes that go on and axes that end


@pytest.mark.parametrize("around", list(itertools.product([True, False], repeat=2)))
def test_lattices_go_around_the_axes_that_do(around):
    crops = Crops(index([Fake("s", (8, 8), around)], 4, 2, Geometry(0, 1, "zero")))
    starts = [sorted(set(axis)) for axis in crops.of("s").T.tolist()]
    assert starts == [[0, 2, 4, 6] if goes_on else [0, 2, 4] for goes_on in around]
    count = covered(crops, "s", (8, 8), True)
    assert count.min() == 2 ** sum(around) and (count.max() > count.min()) == (not all(around))


def test_a_halo_may_leave_the_box_where_it_ends():
    """With a period of 32 along the first axis, 32 voxels are too many there, and along the other none are."""
    crops_of(20, Geometry(8, 4, "valid"), around=(False, False))
    with pytest.raises(ConfigError, match="more than the period 32"):
        crops_of([20, 8], Geometry(8, 4, "valid"), around=(True, False))
    crops_of([8, 20], Geometry(8, 4, "valid"), around=(True, False))


def test_a_model_that_closes_boxes_needs_closed_ones():
    with pytest.raises(DataError, match="model.padding: periodic, but sample 's' is not"):
        crops_of(32, PERIODIC, around=(True, False))


# ---- symmetries


def symmetries(dims):
    signs = itertools.product((1, -1), repeat=dims)
    return [Symmetry(axes, s) for axes, s in itertools.product(itertools.permutations(range(dims)), signs)]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_halos_are_read_so_that_they_are_right_after_the_turn(dims):
    """A crop of equal edges in a large field: its halo turned is what lies there after all has been turned."""
    rng = np.random.default_rng(dims)
    field, start = rng.standard_normal((1, *(12,) * dims)).astype("f4"), (4, 5, 4)[:dims]
    scalar, misplaced = [("scalar", 1)], 0
    for symmetry in symmetries(dims):
        sides = [(int(a), int(b)) for a, b in rng.integers(0, 4, (dims, 2))]
        turned = symmetry.apply(field, scalar)
        corner = [
            start[axis] if sign > 0 else 12 - start[axis] - 3
            for axis, sign in zip(symmetry.axes, symmetry.signs, strict=True)
        ]
        expected = turned[:, *(slice(a - low, a + 3 + high) for a, (low, high) in zip(corner, sides, strict=True))]
        found, naive = (
            symmetry.apply(
                field[:, *(slice(a - low, a + 3 + high) for a, (low, high) in zip(start, read, strict=True))], scalar
            )
            for read in (symmetry.before(sides), sides)
        )
        assert np.array_equal(found, expected)
        misplaced += not np.array_equal(naive, expected)
    assert misplaced > len(symmetries(dims)) / 3  # what reading first and turning then would do
