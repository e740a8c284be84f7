"""Flat LCDM background, growth of structure and the linear power spectrum; lengths in Mpc/h, wave numbers in h/Mpc.

Radiation and massive neutrinos are left out, so growth is that of matter and a cosmological constant alone.
The defaults are the fiducial cosmology of the Quijote simulations (Villaescusa-Navarro et al., arXiv:1909.05273).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import OdeSolution, solve_ivp, trapezoid
from scipy.special import hyp2f1

__all__ = [
    "QUIJOTE", "growth", "growth_rate", "hubble", "linear_power", "matter_fraction", "second_order_growth",
    "top_hat_rms", "transfer",
]  # fmt: skip

QUIJOTE = {"omega_m": 0.3175, "omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}
CMB_TEMPERATURE = 2.7255  # [K], Fixsen 2009, arXiv:0911.1955
EARLIEST = 1.0e-4  # growth factor at which the second order is still that of an Einstein-de Sitter universe


# ---- background and growth


def hubble(redshift: ArrayLike, omega_m: float = QUIJOTE["omega_m"]) -> np.ndarray:
    """H [km/s/(Mpc/h)]: 100 at redshift 0 whatever h is."""
    a = _scale_factor(redshift)
    return 100.0 * np.sqrt(omega_m * a**-3 + 1.0 - omega_m)


def matter_fraction(redshift: ArrayLike, omega_m: float = QUIJOTE["omega_m"]) -> np.ndarray:
    """Omega_m at a redshift: the share of matter in the critical density of that time."""
    return omega_m * _scale_factor(redshift) ** -3 / (hubble(redshift, omega_m) / 100.0) ** 2


def growth(redshift: ArrayLike, omega_m: float = QUIJOTE["omega_m"]) -> np.ndarray:
    """Linear growth factor D, normalised to D = 1 at redshift 0."""
    return _early_growth(_scale_factor(redshift), omega_m) / _early_growth(1.0, omega_m)


def growth_rate(redshift: ArrayLike, omega_m: float = QUIJOTE["omega_m"]) -> np.ndarray:
    """f = d ln D / d ln a, from the first integral of the growth equation (Heath 1977, MNRAS 179, 351)."""
    a = _scale_factor(redshift)
    return 0.5 * matter_fraction(redshift, omega_m) * (5.0 * a / _early_growth(a, omega_m) - 3.0)


def second_order_growth(linear: ArrayLike, omega_m: float = QUIJOTE["omega_m"]) -> tuple[np.ndarray, np.ndarray]:
    """(D2, dD2/dD) where the linear growth factor D (1 at redshift 0) is `linear`, at least 0.

    D2 is the growing solution of D2'' + (2 + d ln H / d ln a) D2' = 1.5 Omega_m (D2 - D^2), primes d / d ln a,
    which starts as -3/7 D^2 (Bouchet et al. 1995, astro-ph/9406013). Lagrangian displacements are
    D psi_1 + D2 psi_2 + ...
    """
    linear = np.asarray(linear, float)
    states = _second_order(float(omega_m))(np.log(np.maximum(linear, EARLIEST)).ravel())
    ratio, slope = states[1:].reshape(2, *linear.shape)
    return ratio * linear**2, (2.0 * ratio + slope) * linear


@lru_cache(maxsize=64)
def _second_order(omega_m: float) -> OdeSolution:
    """(ln a, e, de / d ln D) as functions of ln D, where e = D2 / D^2."""

    def slope(_: float, state: np.ndarray) -> list[float]:
        log_a, e, e_slope = state
        redshift = math.expm1(-log_a)
        rate = float(growth_rate(redshift, omega_m))
        gamma = 1.5 * float(matter_fraction(redshift, omega_m)) / rate**2
        return [1.0 / rate, e_slope, -3.0 * e_slope - 2.0 * e - gamma * (e_slope + e + 1.0)]

    start = [math.log(EARLIEST * _early_growth(1.0, omega_m)), -3.0 / 7.0, 0.0]
    span = (math.log(EARLIEST), 0.05)  # a little beyond today, so that rounding never asks outside
    return solve_ivp(slope, span, start, dense_output=True, rtol=1e-9, atol=1e-12).sol


def _early_growth(a: ArrayLike, omega_m: float) -> np.ndarray:
    """The growth factor normalised to D = a when matter dominates; closed form for a flat universe."""
    a = np.asarray(a, float)
    return a * hyp2f1(1.0 / 3.0, 1.0, 11.0 / 6.0, a**3 * (1.0 - 1.0 / omega_m))


def _scale_factor(redshift: ArrayLike) -> np.ndarray:
    return 1.0 / (1.0 + np.asarray(redshift, float))


# ---- linear power


def linear_power(
    k: ArrayLike,
    omega_m: float = QUIJOTE["omega_m"],
    omega_b: float = QUIJOTE["omega_b"],
    h: float = QUIJOTE["h"],
    n_s: float = QUIJOTE["n_s"],
    sigma_8: float = QUIJOTE["sigma_8"],
) -> np.ndarray:
    """Linear matter power [(Mpc/h)^3] at redshift 0 and wave numbers `k` [h/Mpc]; 0 at k = 0.

    P = A k^n_s T(k)^2 with A such that spheres of 8 Mpc/h scatter by sigma_8. At another redshift: times growth^2.
    """

    def shape(k: np.ndarray) -> np.ndarray:
        return k**n_s * transfer(k, omega_m, omega_b, h) ** 2

    k = np.asarray(k, float)
    positive = np.where(k > 0, k, 1.0)
    return np.where(k > 0, shape(positive) * (sigma_8 / top_hat_rms(shape, 8.0)) ** 2, 0.0)


def top_hat_rms(power: Callable[[np.ndarray], np.ndarray], radius: float) -> float:
    """Rms overdensity of spheres of `radius` [Mpc/h] in a field of spectrum `power` [(Mpc/h)^3]."""
    k = np.geomspace(1e-5, 1e3, 8192) / radius
    x = k * radius
    window = 3.0 * (np.sin(x) - x * np.cos(x)) / x**3
    return math.sqrt(trapezoid(k**3 * power(k) * window**2, np.log(k)) / (2.0 * math.pi**2))


def transfer(
    k: ArrayLike,
    omega_m: float = QUIJOTE["omega_m"],
    omega_b: float = QUIJOTE["omega_b"],
    h: float = QUIJOTE["h"],
) -> np.ndarray:
    """Matter transfer function with baryon oscillations, 1 at small `k` [h/Mpc], which must be positive.

    Eisenstein & Hu 1998, ApJ 496, 605 (astro-ph/9709112); "eq." below are theirs.
    """
    k = np.asarray(k, float) * h  # [1/Mpc]
    baryons = omega_b / omega_m
    cold = _cold_transfer(k, omega_m * h**2, baryons)
    return baryons * _baryon_transfer(k, omega_m * h**2, baryons) + (1.0 - baryons) * cold  # eq. 16


def _cold_transfer(k: np.ndarray, matter: float, baryons: float) -> np.ndarray:
    """T_c, eq. 17-18; `matter` is Omega_m h^2, `baryons` their share of it."""
    a1 = (46.9 * matter) ** 0.670 * (1.0 + (32.1 * matter) ** -0.532)
    a2 = (12.0 * matter) ** 0.424 * (1.0 + (45.0 * matter) ** -0.582)
    alpha = a1**-baryons * a2 ** -(baryons**3)  # eq. 11
    b1 = 0.944 / (1.0 + (458.0 * matter) ** -0.708)
    b2 = (0.395 * matter) ** -0.0266
    beta = 1.0 / (1.0 + b1 * ((1.0 - baryons) ** b2 - 1.0))  # eq. 12
    sound = _sound_horizon(matter, baryons)[0]
    blend = 1.0 / (1.0 + (k * sound / 5.4) ** 4)
    return blend * _pressureless(k, matter, 1.0, beta) + (1.0 - blend) * _pressureless(k, matter, alpha, beta)


def _baryon_transfer(k: np.ndarray, matter: float, baryons: float) -> np.ndarray:
    """T_b, eq. 21."""
    sound, drag_ratio, y = _sound_horizon(matter, baryons)
    silk = 1.6 * (baryons * matter) ** 0.52 * matter**0.73 * (1.0 + (10.4 * matter) ** -0.95)  # eq. 7
    alpha = 2.07 * _equality(matter) * sound * (1.0 + drag_ratio) ** -0.75 * _suppression(y)  # eq. 14
    beta = 0.5 + baryons + (3.0 - 2.0 * baryons) * math.hypot(17.2 * matter, 1.0)  # eq. 24
    node = 8.41 * matter**0.435  # eq. 23
    shifted = k * sound / np.cbrt(1.0 + (node / (k * sound)) ** 3)  # eq. 22
    smooth = _pressureless(k, matter, 1.0, 1.0) / (1.0 + (k * sound / 5.2) ** 2)
    acoustic = alpha / (1.0 + (beta / (k * sound)) ** 3) * np.exp(-((k / silk) ** 1.4))
    return (smooth + acoustic) * np.sinc(shifted / math.pi)


def _pressureless(k: np.ndarray, matter: float, alpha: float, beta: float) -> np.ndarray:
    """T_0 tilde, eq. 10 and 19-20."""
    q = k / (13.41 * _equality(matter))
    logarithm = np.log(math.e + 1.8 * beta * q)
    return logarithm / (logarithm + (14.2 / alpha + 386.0 / (1.0 + 69.9 * q**1.08)) * q**2)


def _equality(matter: float) -> float:
    """Wave number of the horizon when matter equals radiation [1/Mpc], eq. 3."""
    return 7.46e-2 * matter / _warmth() ** 2


def _sound_horizon(matter: float, baryons: float) -> tuple[float, float, float]:
    """Sound horizon at the drag epoch [Mpc], baryon to photon momentum ratio then, and (1 + z_eq) / (1 + z_drag)."""
    baryon = matter * baryons
    equality = 2.5e4 * matter / _warmth() ** 4  # eq. 2
    b1 = 0.313 * matter**-0.419 * (1.0 + 0.607 * matter**0.674)
    b2 = 0.238 * matter**0.223
    drag = 1291.0 * matter**0.251 / (1.0 + 0.659 * matter**0.828) * (1.0 + b1 * baryon**b2)  # eq. 4
    at_equality, at_drag = (31.5e3 * baryon / _warmth() ** 4 / z for z in (equality, drag))  # eq. 5
    root = math.sqrt(at_equality)
    ratio = (math.sqrt(1.0 + at_drag) + math.sqrt(at_drag + at_equality)) / (1.0 + root)
    sound = 2.0 / (3.0 * _equality(matter)) * math.sqrt(6.0) / root * math.log(ratio)  # eq. 6
    return sound, at_drag, (1.0 + equality) / (1.0 + drag)


def _suppression(y: float) -> float:
    """G, eq. 15: how much baryons lag behind by the drag epoch."""
    root = math.sqrt(1.0 + y)
    return y * (-6.0 * root + (2.0 + 3.0 * y) * math.log((root + 1.0) / (root - 1.0)))


def _warmth() -> float:
    """Theta_2.7: the temperature of the microwave background in units of 2.7 K."""
    return CMB_TEMPERATURE / 2.7
