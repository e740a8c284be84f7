"""Normalisation: what was normalised comes back, and the physics of the displacement scaling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core import registry
from m2m_core.data.catalogue import Sample
from m2m_core.data.normalize import Normalizer
from m2m_core.errors import DataError
from m2m_core.physics.cosmology import growth
from tests.data.making import field

STATISTICS = {"count": [9, 9], "mean": [1.0, -3.0], "std": [2.0, 0.5], "min": [-0.9, -0.5], "max": [7.0, 11.0]}


def at(redshift=0.0):
    return Sample("a", "a", 0, {}, (1.0,), redshift, 0.3, True)


@pytest.mark.parametrize("scaling", registry.entries("scaling"))
@pytest.mark.parametrize("transform", registry.entries("transform"))
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(0, 99), st.floats(-2, 2))
def test_the_inverse_undoes_it(transform, scaling, dims, seed, power):
    x = np.exp(field((2, *[5] * dims), seed)) * np.float32(10.0**power) - np.float32(0.5)
    normalizer = Normalizer(transform, scaling, STATISTICS)
    y = x.copy()
    forth = normalizer.forward(y, at(1.0))
    assert forth is y and forth.dtype == np.float32
    back = normalizer.inverse(forth, at(1.0))
    assert back.dtype == np.float32
    scale = np.abs(x) + 12 if transform == "identity" else (1 + np.abs(x)) * (12 + np.log1p(np.abs(x)))
    assert (np.abs(back - x) <= 8 * np.finfo("f4").eps * scale).all()


def test_standardise_gives_zero_mean_and_unit_spread():
    x = field((2, 40, 40)) * np.float32([[[3.0]], [[0.1]]]) + 5
    statistics = {"mean": x.mean((1, 2), dtype="f8"), "std": x.std((1, 2), dtype="f8")}
    y = Normalizer("identity", "standardise", statistics).forward(x, at())
    assert np.allclose(y.mean((1, 2)), 0, atol=1e-5) and np.allclose(y.std((1, 2)), 1, rtol=1e-5)


def test_minmax_gives_the_unit_interval():
    x = field((2, 30))
    y = Normalizer("identity", "minmax", {"min": x.min(1), "max": x.max(1)}).forward(x, at())
    assert y.min(1).tolist() == [0, 0] and np.allclose(y.max(1), 1)


def test_displacements_shrink_with_the_growth_factor():
    x = np.full((3, 2, 2, 2), 6.0, "f4")
    normalizer = Normalizer("identity", "displacement")
    assert np.allclose(normalizer.forward(x.copy(), at()), 1, rtol=1e-6)
    assert np.allclose(normalizer.forward(x.copy(), at(2.0)), 1 / growth(2.0, 0.3), rtol=1e-6)
    assert normalizer.forward(x.copy(), at(2.0))[0, 0, 0, 0] > 1.5


@pytest.mark.parametrize("value", [-1.5, -1.0, -np.inf])
def test_log1p_of_a_value_outside_its_domain(value):
    x = np.abs(field((1, 4)))
    x[0, 2] = value
    with pytest.raises(DataError, match=rf"sample 'a': log1p: value {value} at \(0, 2\); expected values above -1"):
        Normalizer("log1p", "identity").forward(x, at())


def test_masked_values_stay_nan():
    x = np.array([[np.nan, 1.0]], "f4")
    y = Normalizer("log1p", "standardise", {"mean": [0.0], "std": [1.0]}).forward(x, at())
    assert np.isnan(y[0, 0]) and np.isclose(y[0, 1], np.log(2))


@pytest.mark.parametrize("scaling", ["standardise", "minmax"])
def test_zero_spread(scaling):
    constant = {"mean": [1.0] * 3, "std": [1.0, 1.0, 0.0], "min": [0.0, 0.0, 1.0], "max": [1.0] * 3}
    with pytest.raises(DataError, match="channel 2 has zero spread; cannot normalise"):
        Normalizer("identity", scaling, constant)
    with pytest.raises(DataError, match="statistics: no "):
        Normalizer("identity", scaling)


def test_another_number_of_channels():
    with pytest.raises(DataError, match="3 channels; its statistics have 2"):
        Normalizer("identity", "standardise", STATISTICS).forward(field((3, 4)), at())
