"""Slices as examples: each once, along every axis; thick ones; symmetries; what cannot be sliced."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from m2m_core.crops import read_index, write_index
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.cubes import Cubes, room
from m2m_core.data.fields import Fields
from m2m_core.data.slices import WHOLE, Slices, index, turned
from m2m_core.errors import ConfigError, DataError
from tests.data.making import field, part, sample

N = 6


class Known(SimpleNamespace):
    """A sample of an input alone, as far as examples look at one."""

    def shape(self, field):
        return self.edges

    def quantities(self, field):
        return ((self.quantity, self.edges[0]),)


def known(id="a", edges=(1, N, N, N), periodic=True, quantity="scalar", box=None):
    box = box or tuple(map(float, edges[1:]))
    around = (periodic,) * len(box)
    return Known(id=id, edges=edges, periodic=periodic, around=around, quantity=quantity, box_size=box)


def slices(samples=None, **chosen) -> Slices:
    return Slices(index(samples or [known()], **{"kind": "slices"} | chosen))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Two cubes of two channels, none of whose values occurs twice, and a reader of them."""
    folder, found = tmp_path_factory.mktemp("cubes"), []
    for n in range(2):
        values = np.random.default_rng(n).permutation(2 * N**3).reshape(2, N, N, N).astype("f4")
        one = sample(input=part(folder / f"{n}.npy", values))
        found.append(one.__class__(f"{n}", *[getattr(one, key) for key in one.__slots__[1:]]))
    return found, Cubes(Fields(), 10**6)


def of_all(cubes, **chosen):
    """(example, its values) of every example."""
    samples, reader = cubes
    found = slices(samples, **chosen)
    by_id = {one.id: one for one in samples}
    return [((id, axis, start), reader.block(by_id[id], axis, start, found.thickness)) for id, axis, start in found]


# ---- each slice once


def test_every_slice_of_every_axis_is_one_example(cubes):
    """The original gave the slices of one axis twice, those of another never."""
    samples, reader = cubes
    found = of_all(cubes)
    assert len(found) == len({values.tobytes() for _, values in found}) == 2 * 3 * N
    for (id, axis, start), values in found:
        cube = reader.whole(next(one for one in samples if one.id == id))
        np.testing.assert_array_equal(values[:, 0], np.take(cube, start, 1 + axis))
    assert Counter((id, axis) for (id, axis, _), _ in found) == {(id, axis): N for id in "01" for axis in range(3)}


def test_each_voxel_is_in_one_slice_of_each_axis(cubes):
    for axis in range(3):
        values = np.concatenate([block.ravel() for (_, a, _), block in of_all(cubes) if a == axis])
        assert len(values) == 2 * 2 * N**3 and Counter(values.tolist()).most_common(1)[0][1] == 2  # in two cubes


def test_axes_are_chosen(cubes):
    assert {(a, s) for (_, a, s), _ in of_all(cubes, axes=[2, 0])} == {(a, s) for a in (0, 2) for s in range(N)}


@pytest.mark.parametrize("thickness, step, periodic, starts", [
    (2, None, True, [0, 2, 4]), (3, None, False, [0, 3]), (2, 1, True, [*range(6)]), (2, 1, False, [*range(5)]),
    (4, 2, True, [0, 2, 4]), (4, 2, False, [0, 2]), (1, 4, True, [0, 4]), (6, None, True, [0]),
])  # fmt: skip
def test_thick_slices_lie_side_by_side_unless_told(thickness, step, periodic, starts):
    found = slices([known(periodic=periodic)], thickness=thickness, step=step, axes=[1])
    assert found.of("a") == [(1, start) for start in starts] and len(found) == len(starts)


def test_a_thick_slice_has_its_slices_in_order_and_goes_around(cubes):
    samples, reader = cubes
    cube = reader.whole(samples[0])
    for axis in range(3):
        block = reader.block(samples[0], axis, N - 2, 3)
        expected = np.moveaxis(np.take(cube, [N - 2, N - 1, 0], 1 + axis), 1 + axis, 1)
        assert block.shape == (2, 3, N, N) and block.flags.c_contiguous
        np.testing.assert_array_equal(block, expected)


def test_whole_samples_are_examples_too(cubes):
    (place, values), *_ = found = of_all(cubes, kind="whole")
    assert [place for place, _ in found] == [("0", WHOLE, 0), ("1", WHOLE, 0)] and values.shape == (2, 1, N, N, N)
    np.testing.assert_array_equal(values[:, 0], cubes[1].whole(cubes[0][0]))
    assert slices(kind="whole").whole and slices(kind="whole").edges == (N, N, N) and not slices().whole


def test_a_million_slices_cost_no_memory():
    found = slices([known(f"{n}", (1, 256, 256, 256)) for n in range(2000)])
    assert len(found) == 2000 * 768 and found[-1] == ("1999", 2, 255) and found[768] == ("1", 0, 0)
    assert sum(array.nbytes for array in found.arrays.values()) < 10**5


def test_examples_of_some_samples():
    found = slices([known(id) for id in "abc"]).among(["c", "a"])
    assert len(found) == 2 * 3 * N and found[0] == ("c", 0, 0) and found[-1] == ("a", 2, N - 1)
    assert found.near.tolist() == [0] * 3 * N + [1] * 3 * N and found.near.dtype == np.int32
    with pytest.raises(DataError, match="sample 'x' is not in the index"):
        found.among(["x"])
    with pytest.raises(IndexError):
        found[3 * 3 * N]


# ---- refused


@pytest.mark.parametrize("edges, chosen, words", [
    ((1, N, N), {}, r"crops.kind: slices, of fields with 2 axes; expected cubes, or kind: whole"),
    ((1, N, N, N), {"thickness": 4}, r"crops.step: every 4 slices.*6 voxels.*expected a divisor of 6"),
    ((1, N, N, N), {"thickness": 7}, r"crops.thickness: 7, of 6 voxels"),
    ((1, N, N, 4), {}, r"crops.axes: \[0, 1, 2\] of \(6, 6, 4\) voxels give slices of different edges"),
])  # fmt: skip
def test_slices_that_are_not_there_are_refused(edges, chosen, words):
    with pytest.raises(ConfigError, match=words):
        slices([known(edges=edges)], **chosen)


def test_a_slab_is_sliced_along_its_short_axis():
    found = slices([known(edges=(1, N, N, 4))], axes=[2])
    assert (len(found), found.edges) == (4, (N, N))


def test_samples_of_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"sample 'b' has \(1, 4, 4, 4\), 'a' has \(1, 6, 6, 6\); expected equal"):
        slices([known("a"), known("b", (1, 4, 4, 4))])


def test_the_index_is_written_read_and_checked(tmp_path, cubes):
    catalogue = Catalogue(tuple(cubes[0]))
    catalogue.write(tmp_path / "c.csv")
    geometry = {"name": "vnet", "options": {"depth": 1, "padding": "zero"}}
    chosen = {"kind": "slices", "axes": [0, 2], "thickness": 2, "step": None}
    text = write_index({"crops": chosen, "geometry": geometry}, tmp_path / "c.csv", tmp_path / "i.npz")
    assert text == "12 examples of 6x6 voxels, 2 thick, in 2 samples"
    found = read_index(tmp_path / "i.npz", catalogue)
    assert list(found) == list(slices(cubes[0], axes=[0, 2], thickness=2)) and found.size == (N, N)
    with pytest.raises(DataError, match="made for other samples"):
        read_index(tmp_path / "i.npz", cubes[0][:1])


# ---- symmetries


def elements(kinds, block, one, axis, draws=300):
    """What can become of an example."""
    found = {turned(block, one, axis, np.random.default_rng(n), kinds).tobytes() for n in range(draws)}
    return [np.frombuffer(values, "f4") for values in sorted(found)]


def test_a_slice_has_the_eight_symmetries_of_the_square():
    block, one = field((1, 1, N, N)), known()
    found = elements(["flip", "permute"], block, one, 0)
    square = block[0, 0]
    expected = {np.rot90(base, k).tobytes() for base in (square, square.T) for k in range(4)}
    assert {values.tobytes() for values in found} == expected and len(expected) == 8


def test_a_cube_has_forty_eight():
    assert len(elements(["flip", "permute"], field((1, 1, 3, 3, 3)), known(edges=(1, 3, 3, 3)), WHOLE, 900)) == 48


def test_shifts_are_periodic_and_only_of_periodic_boxes():
    block = field((2, 1, N, N))
    found = elements(["shift"], block, known(edges=(2, N, N, N)), 2, 600)
    rolled = {np.roll(block, (a, b), (2, 3)).tobytes() for a in range(N) for b in range(N)}
    assert {values.tobytes() for values in found} == rolled
    assert len(elements(["shift"], block, known(edges=(2, N, N, N), periodic=False), 2)) == 1


def test_the_order_of_thick_slices_turns_too_and_their_spectrum_stays():
    block, one = field((1, 3, N, N)), known()
    found = elements(["flip", "permute"], block, one, 1, 600)
    assert len(found) == 16
    power = np.sort(np.abs(np.fft.fftn(block[0])).ravel())
    for values in found:
        np.testing.assert_allclose(np.sort(np.abs(np.fft.fftn(values.reshape(3, N, N))).ravel()), power, rtol=1e-4)


def test_unequal_cells_are_not_exchanged():
    one = known(box=(1.0, 2.0, 3.0))
    assert len(elements(["permute"], field((1, 1, N, N)), one, 0)) == 1


def gradient(values):
    """Of a periodic cube (1, N, N, N), (3, N, N, N)."""
    return np.concatenate([np.roll(values, -1, 1 + axis) - np.roll(values, 1, 1 + axis) for axis in range(3)])


@pytest.mark.parametrize("axis", range(3))
def test_components_of_vectors_turn_with_their_slices(axis):
    """The gradient of a turned potential is the turned gradient: of slices as thick as the box, which are the box."""
    vector = known(edges=(3, N, N, N), quantity="vector")
    values = field((1, N, N, N))
    for seed in range(40):
        kinds, blocks = ["flip", "permute", "shift"], (np.moveaxis(v, 1 + axis, 1) for v in (values, gradient(values)))
        turns = zip(blocks, (known(), vector), strict=True)
        scalar, found = (turned(block, one, axis, np.random.default_rng(seed), kinds) for block, one in turns)
        expected = np.moveaxis(gradient(np.moveaxis(scalar, 1, 1 + axis)), 1 + axis, 1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_slice_of_vectors_has_a_mirror_image_in_its_plane():
    vector, block = known(edges=(3, N, N, N), quantity="vector"), field((3, 1, N, N))
    found = elements(["flip", "permute"], block, vector, 1, 600)
    assert len(found) == 16
    for values in found:
        normal = values.reshape(3, N, N)[1]
        np.testing.assert_array_equal(np.sort(np.abs(normal), axis=None), np.sort(np.abs(block[1]), axis=None))


# ---- cubes in memory


class Counting(Fields):
    """Counts what is read."""

    def __init__(self):
        super().__init__()
        self.read = []

    def whole(self, sample, field):
        self.read.append(sample.id)
        return super().whole(sample, field)


def test_a_cube_is_read_once_while_there_is_room_and_memory_is_bounded(cubes):
    samples, _ = cubes
    size = 4 * 2 * N**3
    fields = Counting()
    reader = Cubes(fields, 2 * size)
    for _ in range(3):
        for one in samples:
            reader.block(one, 0, 1, 1)
    assert fields.read == ["0", "1"] and reader.nbytes == 2 * size
    tight = Cubes(fields, size + 1)
    for name in "0011":
        tight.whole(samples[int(name)])
        assert tight.nbytes == size
    assert fields.read == ["0", "1"] * 2


def test_cubes_are_not_changed_from_one_epoch_to_the_next(cubes):
    """The original overwrote its own list of names, and standardised again at each access."""
    samples, reader = cubes
    first = reader.block(samples[0], 0, 0, 1)
    first *= 0
    with pytest.raises(ValueError, match="read-only"):
        reader.whole(samples[0])[:] = 0
    assert reader.block(samples[0], 0, 0, 1).any()


def test_memory_is_a_matter_of_the_neighbourhood():
    large = [known(f"{n}", (1, 256, 256, 256)) for n in range(4000)]
    cube = 4 * 256**3
    assert room(large, 1.0) == 20 * cube < 1.4e9
    assert room(large, 1.0, workers=4) == 8 * cube and room(large, 3.0, workers=2) == 28 * cube
    with pytest.raises(ConfigError, match=r"training.neighbourhood: none, but the samples are 268.4 GB; expected"):
        room(large, None)
    assert room([known()], None) == 4 * N**3
