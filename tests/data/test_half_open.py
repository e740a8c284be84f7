"""Boxes that are periodic along some axes alone: from the config or the file to the catalogue, and to what is read."""

import itertools
from dataclasses import replace

import h5py
import numpy as np
import pytest

from m2m_core.data.catalogue import Catalogue
from m2m_core.data.fields import Fields
from m2m_core.data.sources import hdf5, npy
from m2m_core.errors import DataError
from m2m_core.models.noise import normal
from tests.data.making import catalogue, field, h5, pairs

SHAPE = (1, 6, 5, 4)


@pytest.mark.parametrize(
    ("given", "periodic", "around"),
    [
        (True, True, (True,) * 3),
        (False, False, (False,) * 3),
        ([True, True, True], True, (True,) * 3),
        ([False, False, False], False, (False,) * 3),
        ([True, False, True], False, (True, False, True)),
    ],
)
def test_an_answer_an_axis(tmp_path, given, periodic, around):
    found = catalogue(tmp_path, 2, SHAPE, periodic=given)
    assert {(sample.periodic, sample.around) for sample in found} == {(periodic, around)}
    found.write(tmp_path / "catalogue.csv")
    assert Catalogue.read(tmp_path / "catalogue.csv") == found


def test_as_many_answers_as_axes(tmp_path):
    with pytest.raises(DataError, match="^periodic: 2 answers for 3 axes; expected one, or one an axis"):
        npy(**pairs(tmp_path, 2, SHAPE), periodic=[True, False])


def test_files_may_say_it_themselves(tmp_path):
    arrays = {"input": field(SHAPE), "target": field(SHAPE, 1)}
    h5(tmp_path / "a.h5", {"periodic": [True, False, False]}, **arrays)
    files = {"input": f"{tmp_path}/*.h5", "target": f"{tmp_path}/*.h5"}
    assert hdf5(**files)[0].around == (True, False, False)
    assert hdf5(**files, periodic=[False, True, False])[0].around == (False, True, False)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["periodic"] = [True, False]
    with pytest.raises(DataError, match="periodic: 2 answers for 3 axes"):
        hdf5(**files)


@pytest.mark.parametrize("around", sorted(itertools.product([True, False], repeat=3)))
def test_images_beyond_the_axes_that_go_on_and_zeros_beyond_the_others(tmp_path, around):
    sample = catalogue(tmp_path, 2, SHAPE).samples[0]
    sample = replace(sample, periodic=all(around), wraps=around)
    expected = np.load(sample.parts("input")[0].file)
    for axis, goes_on in enumerate(around, 1):
        width = [(7, 9) if a == axis else (0, 0) for a in range(4)]
        expected = np.pad(expected, width, mode="wrap" if goes_on else "constant")
    found = Fields().block(sample, "input", (-7, -7, -7), expected.shape[1:])
    assert np.array_equal(found, expected)


def test_noise_repeats_itself_along_the_axes_that_go_on():
    values = normal(3, 0, (-2, -2), (12, 12), (6, None))
    assert np.array_equal(values[:6], values[6:]) and not np.array_equal(values[:, :6], values[:, 6:])
    assert np.array_equal(values[:, 2:], normal(3, 0, (-2, 0), (12, 10), (6, 100)))
