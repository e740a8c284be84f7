"""Normalisation: what was normalised comes back, and the physics of the scalings by linear theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core import registry
from m2m_core.data import scalings
from m2m_core.data.catalogue import Sample
from m2m_core.data.normalize import Normalizer, Parts, normalizer, told
from m2m_core.data.transforms import Chain, transform
from m2m_core.errors import DataError
from m2m_core.physics.cosmology import growth, growth_rate
from tests.data.making import field

QUANTILES = {"0.25": [-0.5, -4.0], "0.5": [0.7, -2.0], "0.75": [2.0, 3.0]}
STATISTICS = {"count": [9, 9], "mean": [1.0, -3.0], "std": [2.0, 0.5], "min": [-0.9, -0.5], "max": [7.0, 11.0],
              "quantiles": QUANTILES}  # fmt: skip
EPS = np.finfo("f4").eps
INSIDE = {  # transform -> ends of its domain, or as far as numbers go
    "identity": (-1e30, 1e30), "log": (1e-30, 1e30), "log1p": (-0.99, 1e30),
    "exp": (-87.0, 88.0), "expm1": (-5.0, 88.0),
}  # fmt: skip
SLOPES = {
    "identity": np.ones_like, "log": lambda x: 1 / x, "log1p": lambda x: 1 / (1 + x), "exp": np.exp, "expm1": np.exp,
}  # fmt: skip


def at(redshift=0.0, omega_m=0.3):
    return Sample("a", "a", 0, {}, (1.0,), redshift, omega_m, True)


def rounding(name, x, constants=0.0):
    """The error of x when its transform, in which numbers as large as `constants` take part, is rounded eight times."""
    x = x.astype("f8")
    y = transform(name).forward(x.copy())
    return 8 * EPS * (np.abs(x) + (np.abs(y) + constants) / SLOPES[name](x))


@pytest.mark.parametrize("scaling", registry.entries("scaling"))
@pytest.mark.parametrize("transform", registry.entries("transform"))
@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(0, 99), st.floats(-2, 2))
def test_the_inverse_undoes_it(transform, scaling, dims, seed, power):
    x = np.exp(field((2, *[5] * dims), seed)) * np.float32(10.0**power)
    if transform in ("log1p", "exp", "expm1"):
        x = np.minimum(x - np.float32(0.5), 40)
    normalizer = Normalizer(transform, scaling, STATISTICS)
    y = x.copy()
    forth = normalizer.forward(y, at(1.0))
    assert forth is y and forth.dtype == np.float32
    back = normalizer.inverse(forth, at(1.0))
    assert back.dtype == np.float32
    assert (np.abs(back - x) <= rounding(transform, x, 500 if scaling == "velocity" else 12)).all()


@pytest.mark.parametrize("name", registry.entries("transform"))
def test_a_transform_is_undone_in_all_of_its_domain(name):
    low, high = INSIDE[name]
    x = np.linspace(low, high, 9999) if high < 100 else np.geomspace(max(low, 1e-30), high, 9999)
    x = np.concatenate([[low], x, x[:1]]).astype("f4")[None]
    assert not transform(name).outside(x).any()
    back = Normalizer(name, "identity").inverse(Normalizer(name, "identity").forward(x.copy(), at()), at())
    assert np.isfinite(back).all() and (np.abs(back.astype("f8") - x) <= rounding(name, x)).all()


@pytest.mark.parametrize("name", sorted(registry.entries("transform").keys() - {"identity"}))
def test_a_value_outside_of_a_domain_is_named_with_its_sample_and_place(name):
    value = np.float32({"log": 0.0, "log1p": -1.0, "exp": 89.0, "expm1": -6.0}[name])
    x = np.ones((2, 3, 4), "f4")
    x[1, 2, 3] = value
    words = rf"^sample 'a': {name}: value {value} at \(1, 2, 3\); expected {transform(name).domain}$"
    with pytest.raises(DataError, match=words):
        Normalizer(name, "identity").forward(x, at())


@pytest.mark.parametrize("name, value", [("log", 1e-9), ("log1p", 0.0), ("log1p", 1e-9), ("log1p", -0.999999)])
def test_small_numbers_come_back(name, value):
    """Where 1e-8 and 1e-7 are added to be safe from zeros, 1e-9 comes back as 1.1e-8."""
    x = np.full((1, 1), value, "f4")
    back = Normalizer(name, "identity").inverse(Normalizer(name, "identity").forward(x.copy(), at()), at())
    assert np.allclose(back, x, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["exp", "expm1"])
def test_what_a_network_says_beyond_the_range_is_undone_to_the_end_of_the_domain(name):
    x = np.array([[-7.0, 0.0, np.inf, np.nan]], "f4")
    back = Normalizer(name, "identity").inverse(x, at())
    assert np.allclose(back[0, :3], [INSIDE[name][0], {"exp": -87, "expm1": 0}[name], 88]) and np.isnan(back[0, 3])


# ---- chains and parts


def test_a_chain_is_one_after_the_other_and_back():
    x = np.exp(field((2, 9)))
    one, chain = x.copy(), Normalizer(["log", "expm1", "log1p"], "standardise", STATISTICS)
    found = chain.forward(x.copy(), at())
    for name in ("log", "expm1", "log1p"):
        one = transform(name).forward(one)
    assert np.allclose(found, (one - [[1.0], [-3.0]]) / [[2.0], [0.5]], rtol=1e-5)
    assert np.allclose(chain.inverse(found, at()), x, rtol=1e-5)
    assert isinstance(transform(["log", "log1p"]), Chain) and transform(["log"]) is transform("log")


def test_each_link_of_a_chain_has_its_domain():
    x = np.array([[1.0, 0.5, 0.1]], "f4")  # logarithms: 0, -0.7, -2.3
    words = r"sample 'a': log1p: value -2.30\d+ at \(0, 2\); expected values above -1"
    with pytest.raises(DataError, match=words):
        Normalizer(["log", "log1p"], "identity").forward(x.copy(), at())
    assert transform(["log", "log1p"]).outside(x).tolist() == [[False, False, True]] and x[0, 1] == 0.5


PARTS = {"psi": {"transform": "identity", "scaling": "displacement"},
         "v": {"transform": "identity", "scaling": "velocity"},
         "w": {"transform": "log1p", "scaling": "robust"}}  # fmt: skip


def test_each_part_of_a_field_has_its_own():
    quantiles = {q: [None] * 4 + values for q, values in QUANTILES.items()}
    found = normalizer(PARTS, {"quantiles": quantiles}, [3, 1, 2], "input")
    x = np.abs(field((6, 4, 4)))
    y = found.forward(x.copy(), at(1.0))
    assert isinstance(found, Parts)
    for name, place in {"psi": slice(0, 3), "v": slice(3, 4), "w": slice(4, 6)}.items():
        alone = Normalizer(PARTS[name]["transform"], PARTS[name]["scaling"], STATISTICS)
        assert np.array_equal(y[place], alone.forward(x[place].copy(), at(1.0)))
    assert np.allclose(found.inverse(y, at(1.0)), x, rtol=1e-5, atol=1e-5)
    shift, spread = found.constants(at(1.0), 6)
    assert (
        shift.tolist() == [0, 0, 0, 0, np.float32(0.7), -2] and (spread[:3] == np.float32(6 * growth(1.0, 0.3))).all()
    )
    x[5, 1, 2] = -2
    with pytest.raises(DataError, match=r"log1p: value -2.0 at \(5, 1, 2\)"):
        found.forward(x, at())


def test_a_normalisation_is_told_in_a_word_each():
    identity = {"transform": ["identity", "identity"], "scaling": "identity"}
    assert told(identity) == told({"psi": identity, "v": identity}) == ("identity", "identity")
    assert told(PARTS) == ("log1p", "displacement, velocity, robust")
    assert told({"transform": "log", "scaling": {"name": "robust", "low": 0.1}}) == ("log", "robust")


def test_other_parts_than_the_catalogue_has():
    with pytest.raises(DataError, match=r"normalize.input: 3 parts \(psi, v, w\); the catalogue has 2; expected each"):
        normalizer(PARTS, None, [3, 3], "input")


# ---- scalings


def test_standardise_gives_zero_mean_and_unit_spread():
    x = field((2, 40, 40)) * np.float32([[[3.0]], [[0.1]]]) + 5
    statistics = {"mean": x.mean((1, 2), dtype="f8"), "std": x.std((1, 2), dtype="f8")}
    y = Normalizer("identity", "standardise", statistics).forward(x, at())
    assert np.allclose(y.mean((1, 2)), 0, atol=1e-5) and np.allclose(y.std((1, 2)), 1, rtol=1e-5)


def test_minmax_gives_the_unit_interval():
    x = field((2, 30))
    y = Normalizer("identity", "minmax", {"min": x.min(1), "max": x.max(1)}).forward(x, at())
    assert y.min(1).tolist() == [0, 0] and np.allclose(y.max(1), 1)


def test_robust_gives_zero_median_and_unit_distance_and_forgets_outliers():
    x = field((1, 999))
    quantiles = {repr(q): np.quantile(x, q, axis=1) for q in (0.1, 0.5, 0.9)}
    x[0, 5] = 1e9
    y = Normalizer("identity", {"name": "robust", "low": 0.1, "high": 0.9}, {"quantiles": quantiles}).forward(x, at())
    low, middle, high = np.quantile(y, [0.1, 0.5, 0.9])
    assert abs(middle) < 0.01 and high - low == pytest.approx(1, abs=0.01)


def test_linear_theory_has_the_published_numbers():
    """Those of map2map, whose Omega_m is 0.31 for everyone."""
    assert growth(1.0, 0.31) == pytest.approx(0.60841, abs=5e-6)
    assert growth_rate(0.0, 0.31) == pytest.approx(0.52237, abs=5e-6)
    spread = {name: registry.load("scaling", name)(None).constants(at(0.0, 0.31))[1] for name in LINEAR}
    assert spread["displacement"] == 6.0 and spread["velocity"] == pytest.approx(313.42, abs=0.005)


LINEAR = ("displacement", "velocity")


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("rms", [6.0, 6000.0])
def test_samples_of_any_redshift_and_matter_density_are_scaled_by_their_own(name, rms):
    """A mode that grows as linear theory says looks the same at all times and in all universes."""
    normalizer = Normalizer("identity", {"name": name, "rms": rms})
    for sample in (at(), at(2.0), at(0.5, 0.1), at(9.0, 1.0)):
        z, omega_m = sample.redshift, sample.omega_m
        x = np.full((3, 2, 2), 2 * rms * growth(z, omega_m), "f4")
        if name == "velocity":  # a dx/dt of the comoving displacement, by a difference in time
            early, late = (growth(1 / a - 1, omega_m) for a in ((1 - 1e-4) / (1 + z), (1 + 1e-4) / (1 + z)))
            hubble = 100 * np.sqrt(omega_m * (1 + z) ** 3 + 1 - omega_m)
            x[:] = 2 * rms * (late - early) / 2e-4 * hubble / (1 + z)
        assert np.allclose(normalizer.forward(x, sample), 2, rtol=1e-5)


@pytest.mark.parametrize("name", LINEAR)
def test_growth_is_computed_once_a_redshift(name, monkeypatch):
    calls = []
    monkeypatch.setattr(scalings, "growth", lambda *args: calls.append(args) or growth(*args))
    normalizer = Normalizer("identity", name)
    for _ in range(9):
        normalizer.inverse(normalizer.forward(np.ones((3, 4, 4), "f4"), at(0.123, 0.456)), at(0.123, 0.456))
    assert len(calls) == 1


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


@pytest.mark.parametrize("scaling", ["standardise", "minmax", "robust"])
def test_zero_spread(scaling):
    quantiles = {"0.25": [0.0, 0.0, 1.0], "0.5": [1.0] * 3, "0.75": [1.0] * 3}
    constant = {
        "quantiles": quantiles,
        "mean": [1.0] * 3,
        "std": [1.0, 1.0, 0.0],
        "min": [0.0, 0.0, 1.0],
        "max": [1.0] * 3,
    }
    with pytest.raises(DataError, match="channel 2 has zero spread; cannot normalise"):
        Normalizer("identity", scaling, constant)
    with pytest.raises(DataError, match="statistics: no "):
        Normalizer("identity", scaling)


def test_another_number_of_channels():
    with pytest.raises(DataError, match="3 channels; its statistics have 2"):
        Normalizer("identity", "standardise", STATISTICS).forward(field((3, 4)), at())
