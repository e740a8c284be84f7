"""Background, growth and linear power against limits, integrals done another way, and published values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from m2m_core.physics.cosmology import (
    QUIJOTE,
    growth,
    growth_rate,
    hubble,
    linear_power,
    matter_fraction,
    second_order_growth,
    transfer,
)

# COLOSSUS 1.3 (Diemer 2018, arXiv:1712.04512), Quijote cosmology without neutrinos, model "eisenstein98"
WAVE_NUMBERS = [1e-3, 1e-2, 5e-2, 0.1, 0.2, 1.0, 10.0]  # [h/Mpc]
TRANSFER = [9.92458246e-1, 7.83653859e-1, 2.76470003e-1, 1.34778622e-1, 5.66719538e-2, 4.85146558e-3, 9.32644221e-5]
POWER = [3.83173242e3, 2.19088878e4, 1.28338042e4, 5.94308537e3, 2.04739445e3, 7.06181851e1, 2.39334492e-1]
GROWTH = {0.5: 0.7682368, 1.0: 0.60594821, 3.0: 0.31485383, 9.0: 0.1266525}

matter = st.floats(0.05, 0.999)
redshifts = st.floats(0.0, 100.0)


def heath(redshift: float, omega_m: float) -> float:
    """The growing mode by quadrature: D ~ H int da / (a H)^3 (Heath 1977)."""

    def rate(a: float) -> float:
        return math.sqrt(omega_m * a**-3 + 1.0 - omega_m)

    a = 1.0 / (1.0 + redshift)
    return rate(a) * quad(lambda x: (x * rate(x)) ** -3, 0.0, a, epsrel=1e-10, epsabs=0.0)[0]


@settings(max_examples=50)
@given(redshifts, matter)
def test_growth_is_heaths_integral(redshift: float, omega_m: float):
    assert growth(redshift, omega_m) == pytest.approx(heath(redshift, omega_m) / heath(0.0, omega_m), rel=1e-7)


def test_growth_is_what_colossus_says():
    for redshift, expected in GROWTH.items():
        assert growth(redshift) == pytest.approx(expected, rel=3e-5)


@given(redshifts)
def test_a_universe_of_matter_grows_like_the_scale_factor(redshift: float):
    a = 1.0 / (1.0 + redshift)
    assert growth(redshift, 1.0) == pytest.approx(a)
    assert growth_rate(redshift, 1.0) == pytest.approx(1.0)
    assert hubble(redshift, 1.0) == pytest.approx(100.0 * a**-1.5)
    np.testing.assert_allclose(second_order_growth(a, 1.0), (-3 / 7 * a**2, -6 / 7 * a), rtol=1e-7)


def test_today_is_the_norm():
    assert growth(0.0) == 1.0
    assert hubble(0.0) == pytest.approx(100.0)
    assert matter_fraction(0.0) == pytest.approx(QUIJOTE["omega_m"])


@settings(max_examples=50)
@given(redshifts, matter)
def test_growth_rate_is_the_slope_of_growth(redshift: float, omega_m: float):
    step = 1e-4
    early, late = ((1.0 + redshift) * math.exp(sign * step) - 1.0 for sign in (1, -1))
    slope = math.log(growth(late, omega_m) / growth(early, omega_m)) / (2.0 * step)
    assert growth_rate(redshift, omega_m) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("omega_m", [0.1, 0.3175, 0.9])
def test_second_order_growth_solves_its_equation_in_time(omega_m: float):
    def slope(log_a: float, state: np.ndarray) -> list[float]:
        share = float(matter_fraction(math.expm1(-log_a), omega_m))
        first, d_first, second, d_second = state
        friction = 2.0 - 1.5 * share
        return [
            d_first,
            -friction * d_first + 1.5 * share * first,
            d_second,
            -friction * d_second + 1.5 * share * (second - first**2),
        ]

    a = 1e-3
    start = [a, a, -3 / 7 * a**2, -6 / 7 * a**2]
    for end in (-1.0, 0.0):
        first, d_first, second, d_second = solve_ivp(slope, (math.log(a), end), start, rtol=1e-10, atol=1e-14).y[:, -1]
        today = first / float(growth(math.expm1(-end), omega_m))
        found = second_order_growth(first / today, omega_m)
        np.testing.assert_allclose(found, (second / today**2, d_second / d_first / today), rtol=1e-6)


def test_second_order_growth_takes_arrays_and_zero():
    linear = np.array([[0.0, 1e-6, 0.1], [0.5, 0.9, 1.0]])
    second, slope = second_order_growth(linear)
    assert second.shape == slope.shape == linear.shape
    assert second[0, 0] == slope[0, 0] == 0.0
    assert second[1, 2] == pytest.approx(-3 / 7 * QUIJOTE["omega_m"] ** (-1 / 143), rel=2e-3)  # Bouchet et al. 1995


def test_transfer_and_power_are_what_colossus_says():
    np.testing.assert_allclose(transfer(WAVE_NUMBERS), TRANSFER, rtol=1e-7)
    np.testing.assert_allclose(linear_power(WAVE_NUMBERS), POWER, rtol=5e-5)


@pytest.mark.parametrize("sigma_8", [0.6, 0.834])
@pytest.mark.parametrize("changes", [{}, {"omega_m": 0.2, "n_s": 1.1}, {"omega_b": 0.03, "h": 0.8}])
def test_spheres_of_8_scatter_by_sigma_8(sigma_8: float, changes: dict):
    def integrand(log_k: float) -> float:
        k = math.exp(log_k)
        window = 3.0 * (math.sin(8 * k) - 8 * k * math.cos(8 * k)) / (8 * k) ** 3
        return k**3 * float(linear_power(k, sigma_8=sigma_8, **changes)) * window**2 / (2.0 * math.pi**2)

    pieces = np.log([1e-4, 1e-2, 0.1, 0.4, 1.0, 3.0])
    variance = sum(quad(integrand, *piece, epsrel=1e-5, limit=20)[0] for piece in zip(pieces, pieces[1:], strict=False))
    assert math.sqrt(variance) == pytest.approx(sigma_8, rel=1e-3)


def test_large_scales_are_primordial():
    assert transfer(1e-6) == pytest.approx(1.0, abs=1e-4)
    low = linear_power(np.array([1e-6, 2e-6]), n_s=0.9)
    assert low[1] / low[0] == pytest.approx(2**0.9, rel=1e-3)
    assert linear_power(0.0) == 0.0


def test_small_scales_fall_like_the_logarithm_squared():
    k = np.array([1e3, 1e4])
    ratio = transfer(k, omega_b=1e-6)
    q = k * 0.6711 / (13.41 * 7.46e-2 * 0.3175 * 0.6711**2 / (2.7255 / 2.7) ** 2)
    bbks = np.log(math.e + 1.8 * q) / (np.log(math.e + 1.8 * q) + 14.2 * q**2)  # eq. 19 of EH98 without baryons
    np.testing.assert_allclose(ratio, bbks, rtol=5e-3)


def test_baryons_ring_with_the_sound_horizon():
    k = np.linspace(0.05, 0.35, 3000)  # [h/Mpc]
    ripple = np.log(linear_power(k))
    ripple -= np.polynomial.Polynomial.fit(np.log(k), ripple, 6)(np.log(k))
    matter_h2, baryon_h2 = 0.3175 * 0.6711**2, 0.049 * 0.6711**2
    sound = 44.5 * math.log(9.83 / matter_h2) / math.sqrt(1 + 10 * baryon_h2**0.75) * 0.6711  # EH98 eq. 26 [Mpc/h]
    peaks = k[1:-1][(ripple[1:-1] > ripple[:-2]) & (ripple[1:-1] > ripple[2:])]
    assert 0.01 < np.abs(ripple).max() < 0.1
    assert len(peaks) >= 4
    assert np.diff(peaks).mean() == pytest.approx(2.0 * math.pi / sound, rel=0.06)
