"""The embedded simulator of two theories of gravity: pairs of linear potentials that share their initial modes.

The growth of the second theory depends on scale: it is that of general relativity times

    mu(k) = 1 + strength k^2 / (k^2 + m^2),

the quasi-static form of a scalar force of range 1/m (Bertschinger & Zukin 2008, arXiv:0801.2431, with beta = 1 +
strength and lambda = 1/m; strength 1/3 is that of f(R)). The spectra of a pair differ by mu(k)^2 and by nothing else:
`strength` tells how hard the theories are to tell apart, and at 0 no one can, for the two fields are the same.

They may differ beyond the spectrum as well, by a coupling of local type (Komatsu & Spergel 2001, astro-ph/0005036)

    phi -> phi + c (phi^2 / s - s),    s^2 = <phi^2>, that is c = f_NL s,

c = `coupling` under general relativity and -c under the other theory. At strength 0 a field of one theory, with its
sign changed, is as likely as any of the other: no power spectrum, nor any even moment, can tell them; odd ones can.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import scipy.fft

from ..errors import ConfigError
from ..options import Count, Fraction, Number, Positive, Seed
from ..physics.cosmology import growth, linear_power
from ..physics.grid import wave_vectors
from ..registry import register
from . import Simulated, SimulatedField
from ._lpt import linear_modes, potential

__all__ = ["coupled", "enhancement", "gravity"]

HUBBLE_LENGTH = 2997.92458  # c / H0 [Mpc/h]


@register("simulation", "gravity")
def gravity(
    sample: int,
    *,
    samples: Count = 24,
    mesh: Count = 32,
    box_size: Positive = 640.0,
    redshift: list[Number] | Number = 1.0,
    strength: Number = 0.3,
    mass: Positive = 0.05,
    coupling: Number = 0.0,
    shared: bool = True,
    omega_m: list[Fraction] | Fraction = 0.3175,
    sigma_8: list[Positive] | Positive = 0.834,
    seed: Seed = 1,
    group: Literal["seed"] = "seed",
) -> Simulated:
    """One cube of the gravitational potential in units of c^2: of general relativity, or of a stronger force.

    Samples 2 i and 2 i + 1 are the pair of seed i: the same modes, drawn by `numpy.random.default_rng([seed, i])`
    (`[seed, i, 2]` for modes of its own), under general relativity (`gr` 1) and the other theory (`gr` 0). The field is
    `input`, `(1, N, N, N)`, the solution of laplace phi = 3/2 omega_m H0^2 (1 + z) delta. Numbers of a sample are `gr`,
    `seed` (i) and `sigma_8`, beside `redshift` and `omega_m`. Raises ConfigError for options that have no meaning.

    Options:
        samples: how many cubes the dataset has, two of each seed
        mesh: cells along each side
        box_size: side of the periodic box [Mpc/h]
        redshift: of all fields, or several that the seeds have in turn
        strength: of the further force; at 0 the theories agree
        mass: wave number beyond which it acts, the inverse of its range [h/Mpc]
        coupling: of modes, in rms of the field: a skewness of this sign, and of the other one under the other theory
        shared: whether the two cubes of a seed have the same modes; else they agree by chance alone, even at strength 0
        omega_m: matter density today, of a flat universe; or two bounds between which it is drawn for each seed
        sigma_8: rms overdensity of spheres of 8 Mpc/h today, in linear theory; or two bounds, as of omega_m
        seed: of all random numbers
        group: what stays together in one fold: the two cubes of a seed
    """
    _check(mesh, redshift, strength)
    number, is_other = divmod(sample, 2)
    matter, amplitude = _drawn([omega_m, sigma_8], np.random.default_rng([seed, number, 1]))
    z = redshift[number % len(redshift)] if isinstance(redshift, Sequence) else redshift
    power = partial(linear_power, omega_m=matter, sigma_8=amplitude)
    drawing = [seed, number] if shared or not is_other else [seed, number, 2]
    modes = linear_modes(mesh, box_size, power, np.random.default_rng(drawing))
    if is_other:
        modes *= enhancement(sum(k**2 for k in wave_vectors((mesh,) * 3, box_size)), strength, mass)
    modes *= 1.5 * matter / HUBBLE_LENGTH**2 * (1.0 + z) * float(growth(z, matter))
    field = scipy.fft.irfftn(potential(modes, box_size), s=(mesh,) * 3, overwrite_x=True)
    field = coupled(field, -coupling if is_other else coupling)
    theory = f"mu(k) of strength {strength} beyond {mass} h/Mpc" if is_other else "general relativity"
    return Simulated(
        {"input": SimulatedField(field[None], "scalar", "c^2")},
        {
            "source": f"m2m_core gravity, seed {number} of {seed}: linear potential, {theory}",
            "box_size": np.full(3, box_size, np.float64),
            **{"redshift": float(z), "periodic": True, "omega_m": matter, "sigma_8": amplitude},
            **{"gr": float(not is_other), "seed": number, "parameters": "gr seed sigma_8", "group": group},
        },
    )


def enhancement(k2: np.ndarray, strength: float, mass: float) -> np.ndarray:
    """mu, float32, at squared wave numbers `k2` [(h/Mpc)^2]; `mass` [h/Mpc]."""
    return (1.0 + strength * k2 / (k2 + mass**2)).astype(np.float32)


def coupled(field: np.ndarray, strength: float) -> np.ndarray:
    """A field of mean 0 (*space) with a quadratic term of its own; of mean 0."""
    rms = math.sqrt(np.square(field, dtype=np.float64).mean()) if strength else 0.0
    return field + np.float32(strength) * (field**2 / np.float32(rms) - np.float32(rms)) if rms else field


def _drawn(given: Sequence[Sequence[float] | float], random: np.random.Generator) -> list[float]:
    """The numbers themselves, or one between each two bounds."""
    bounds = [[value, value] if isinstance(value, float) else value for value in given]
    chances = random.random(len(bounds)).tolist()
    return [low + (high - low) * chance for (low, high), chance in zip(bounds, chances, strict=True)]


def _check(mesh: int, redshift: Sequence[float] | float, strength: float) -> None:
    lowest = min(redshift) if isinstance(redshift, Sequence) else redshift
    if mesh < 4:
        raise ConfigError(f"simulation gravity.mesh: {mesh}; expected at least 4 cells")
    if lowest < 0:
        raise ConfigError(f"simulation gravity.redshift: {lowest}; expected 0 or more")
    if strength <= -1:
        raise ConfigError(f"simulation gravity.strength: {strength}; expected more than -1")
