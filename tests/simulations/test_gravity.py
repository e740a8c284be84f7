"""Pairs of potentials under two theories: the same modes, and a ratio of spectra that is known."""

import math

import numpy as np
import pytest
import scipy.fft

from m2m_core import registry
from m2m_core.errors import ConfigError
from m2m_core.physics.cosmology import growth, linear_power
from m2m_core.physics.grid import frequencies, wave_vectors
from m2m_core.physics.spectra import power
from m2m_core.simulations.gravity import coupled, enhancement, gravity

MESH, BOX = 16, 320.0
SMALL = {"mesh": MESH, "box_size": BOX, "seed": 5}


def modes(sample: int, **options) -> np.ndarray:
    return scipy.fft.rfftn(gravity(sample, **SMALL | options).fields["input"].values[0].astype(float))


def k2() -> np.ndarray:
    return sum(k**2 for k in wave_vectors((MESH,) * 3, BOX))


def filled() -> np.ndarray:
    n2 = sum(n**2 for n in frequencies((MESH,) * 3))
    return (n2 > 0) & (4 * n2 <= MESH**2)


def test_the_members_of_a_pair_differ_by_the_formula_mode_by_mode():
    ratio = (modes(5, strength=0.4, mass=0.07) / modes(4, strength=0.4, mass=0.07))[filled()]
    expected = 1.0 + 0.4 * k2() / (k2() + 0.07**2)
    np.testing.assert_allclose(ratio, expected[filled()], rtol=1e-3)


def test_the_spectra_of_a_pair_differ_by_the_formula_squared():
    field, other = (gravity(n, **SMALL, strength=0.5, mass=0.05).fields["input"].values for n in (0, 1))
    one, two = (power(values, (BOX,) * 3) for values in (field, other))
    expected = enhancement(np.asarray(one.k) ** 2, 0.5, 0.05) ** 2
    inside = np.asarray(one.k) < 0.9 * math.pi * MESH / BOX
    np.testing.assert_allclose((np.ravel(two.power) / np.ravel(one.power))[inside], expected[inside], rtol=0.02)


def test_without_strength_no_one_can_tell_the_theories_apart():
    one, two = gravity(0, **SMALL, strength=0.0), gravity(1, **SMALL, strength=0.0)
    np.testing.assert_array_equal(one.fields["input"].values, two.fields["input"].values)
    assert (one.attributes["gr"], two.attributes["gr"]) == (1.0, 0.0)


def test_modes_of_its_own_make_an_unlike_pair_that_no_one_can_tell_apart():
    shared, own = ([gravity(n, **SMALL, strength=0.0, shared=shared) for n in range(2)] for shared in (True, False))
    np.testing.assert_array_equal(own[0].fields["input"].values, shared[0].fields["input"].values)
    first, second = (sample.fields["input"].values.ravel() for sample in own)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.8
    assert own[0].attributes["omega_m"] == own[1].attributes["omega_m"]


def test_a_coupling_is_the_formula_and_its_theories_are_opposites():
    """So every even moment of the two is the same, and a power spectrum cannot tell them."""
    plain = gravity(0, **SMALL, strength=0.0).fields["input"].values.astype(float)
    field, other = (gravity(n, **SMALL, strength=0.0, coupling=0.3).fields["input"].values for n in (0, 1))
    rms = math.sqrt(np.square(plain).mean())
    np.testing.assert_allclose(field, plain + 0.3 * (plain**2 / rms - rms), rtol=1e-3, atol=1e-5 * rms)
    np.testing.assert_allclose(field + other, 2 * plain, rtol=1e-3, atol=1e-5 * rms)
    opposite = np.float32(-plain)
    np.testing.assert_array_equal(coupled(-opposite, 0.3), -coupled(opposite, -0.3))


def test_pairs_share_their_seed_and_no_others_do():
    samples = [gravity(n, **SMALL) for n in range(4)]
    assert [s.attributes["seed"] for s in samples] == [0, 0, 1, 1]
    fields = [s.fields["input"].values.ravel() for s in samples]
    assert np.corrcoef(fields[0], fields[1])[0, 1] > 0.99 > 0.8 > abs(np.corrcoef(fields[0], fields[2])[0, 1])


def test_the_potential_solves_the_equation_of_poisson():
    """Averaged over seeds, P_phi = (3/2 omega_m H0^2 / c^2 (1 + z) D / k^2)^2 P_delta."""
    z, seeds, volume = 2.0, 12, BOX**3
    found = sum(np.abs(modes(2 * n, redshift=z)) ** 2 for n in range(seeds)) / seeds * volume / MESH**6
    factor = 1.5 * 0.3175 * (100.0 / 299792.458) ** 2 * (1 + z) * growth(z, 0.3175)
    k = np.sqrt(k2()[filled()])
    ratio = found[filled()] / (factor**2 * linear_power(k) / k**4)
    assert np.mean(ratio) == pytest.approx(1.0, abs=5 / math.sqrt(seeds * filled().sum()))


def test_labels_to_regress_are_drawn_for_each_seed_and_decide_the_field():
    drawn = {"omega_m": [0.2, 0.4], "sigma_8": [0.6, 1.0]}
    samples = [gravity(n, **SMALL, **drawn) for n in range(8)]
    for name, (low, high) in drawn.items():
        values = [s.attributes[name] for s in samples]
        assert values[::2] == values[1::2] and len(set(values)) == 4 and low < min(values) < max(values) < high
    one = samples[2]
    known = {name: one.attributes[name] for name in drawn}
    again = gravity(2, **SMALL, **known).fields["input"].values
    np.testing.assert_array_equal(one.fields["input"].values, again)
    doubled = gravity(2, **SMALL, **known | {"sigma_8": 2 * known["sigma_8"]}).fields["input"].values
    np.testing.assert_allclose(doubled, 2 * again, rtol=1e-4, atol=1e-9)


def test_redshifts_go_around_the_seeds():
    found = [gravity(n, **SMALL, redshift=[10.0, 1.0]).attributes["redshift"] for n in range(6)]
    assert found == [10.0, 10.0, 1.0, 1.0, 10.0, 10.0]


@pytest.mark.parametrize("options", [{"mesh": 3}, {"redshift": [1.0, -0.5]}, {"strength": -1.0}])
def test_options_without_a_meaning_are_refused(options):
    with pytest.raises(ConfigError, match=f"gravity.{next(iter(options))}: .*; expected"):
        gravity(0, **SMALL | options)


@pytest.mark.parametrize("options, words", [
    ({"samples": 5}, "samples: 5; expected an even number"),
    ({"omega_m": [0.4, 0.2]}, "omega_m: from 0.4 to 0.2; expected the lower bound first"),
])  # fmt: skip
def test_the_door_refuses_them_too(options, words):
    with pytest.raises(ConfigError, match=words):
        registry.load("shape", "gravity")(**options)
