"""Values drawn at random: what each depends on, where they lie, how they are spread, how they read."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_core.config.drawing import CORNERS, drawn, ends
from m2m_core.config.variation import Range

LR = Range(low=1e-4, high=1e-2, log=True)
WIDTH = Range(low=2, high=16)
finite = st.floats(-1e6, 1e6, allow_nan=False)


def series(source, count, seed=0, key="k"):
    return [drawn({key: source}, seed, n)[key] for n in range(count)]


def test_a_draw_is_a_function_of_seed_number_and_key_alone():
    draw = {"optimizer.lr": LR, "model.width": WIDTH}
    assert drawn(draw, 3, 7) == drawn(dict(reversed(draw.items())), 3, 7)
    assert drawn(draw, 3, 7)["model.width"] == drawn({"model.width": WIDTH}, 3, 7)["model.width"]  # with one key less
    assert drawn(draw, 0, 0) == {"optimizer.lr": 0.0002716, "model.width": 8}  # on every machine, for ever
    assert len({json.dumps(drawn(draw, seed, n)) for seed in range(5) for n in range(5)}) == 25


def test_keys_are_drawn_independently():
    pairs = np.array([list(drawn({"a": LR, "b": LR}, 0, n).values()) for n in range(2000)])
    assert abs(np.corrcoef(np.log(pairs).T)[0, 1]) < 0.06


@pytest.mark.parametrize(
    "source, spread",
    [
        (Range(low=-2.0, high=6.0), lambda x: (x + 2) / 8),
        (LR, lambda x: np.log10(x / 1e-4) / 2),
        (Range(low=1, high=1000), lambda x: (x - 0.5) / 1000),
        (Range(low=1, high=1000, log=True), lambda x: np.log((x + 0.5) / 1) / np.log(1001)),
        (list(range(40)), lambda x: (x + 0.5) / 40),
    ],
)
def test_values_are_uniform_on_the_scale_that_was_asked_for(source, spread):
    u = np.sort(spread(np.array(series(source, 4000), float)))
    distance = np.abs(u - np.arange(0.5, 4000) / 4000).max()  # Kolmogorov and Smirnov: 1.63/sqrt(n) at one in a hundred
    grain = 0.03 if isinstance(source, list) else 0.06 if isinstance(source.low, int) and source.log else 0.0
    assert distance < 0.026 + grain


@given(finite, st.floats(1e-6, 1e6), st.integers(0, 2**63 - 1), st.integers(0, 999))
def test_a_float_is_short_and_lies_within_its_bounds(low, width, seed, number):
    source = Range(low=low, high=low + width) if low < low + width else Range(low=0.0, high=1.0)
    (value,) = drawn({"k": source}, seed, number).values()
    assert isinstance(value, float) and source.low <= value <= source.high


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6), st.integers(0, 999))
def test_a_logarithmic_float_too(low, ratio, number):
    source = Range(low=low, high=low * ratio, log=True)
    (value,) = drawn({"k": source}, 0, number).values()
    assert source.low <= value <= source.high


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(0, 999))
def test_integers_stay_integers(low, width, number):
    (value,) = drawn({"k": Range(low=low, high=low + width)}, 0, number).values()
    assert type(value) is int and low <= value <= low + width


def test_every_integer_and_every_listed_value_occurs():
    assert set(series(WIDTH, 300)) == set(range(2, 17))
    assert set(series(Range(low=1, high=4, log=True), 100)) == {1, 2, 3, 4}
    assert set(series(["a", None, True], 50)) == {"a", None, True}


def test_a_float_tells_a_thousandth_of_its_range_and_no_more():
    assert all(round(value, 6) == value for value in series(Range(low=0.99, high=0.9999), 200))
    assert len(set(series(Range(low=0.99, high=0.9999), 200))) > 180
    assert all(float(f"{value:.4g}") == value for value in series(LR, 200))


def test_a_float_bound_makes_floats():
    assert all(isinstance(value, float) for value in series(Range(low=1, high=2.0), 5))


def test_ends_are_all_combinations_if_they_are_few_and_each_value_if_they_are_many():
    found = ends({"a": LR, "b": [1, 2, 3]})
    assert len(found) == 6 and {row["a"] for row in found} == {1e-4, 1e-2}
    many = {f"k{n}": WIDTH for n in range(9)} | {"x": list(range(5))}
    assert math.prod(2 if key != "x" else 5 for key in many) > CORNERS
    found = ends(many)
    assert len(found) == 5 and {row["x"] for row in found} == set(range(5)) and {row["k0"] for row in found} == {2, 16}
