"""The embedded N-body simulator: from a linear spectrum to the displacements of dark matter in a periodic box.

Gaussian initial conditions of an Eisenstein-Hu spectrum (`physics.cosmology`), Lagrangian perturbation theory (`_lpt`)
and a particle mesh with as many particles as cells (`_particle_mesh`). Keep cells at or below 4 Mpc/h: against a
simulation with 27 times the particles, cells of 3 Mpc/h give displacements right to 3 % in amplitude and 2 % in
correlation up to half the Nyquist frequency at redshift 0. Time grows as steps * mesh^3 (a fifth of a second for mesh
32, ten for 128, minutes for 512), and memory peaks near 100 bytes a cell: 14 GB for mesh 512.
Threads are those of `scipy.fft.set_workers`; the bits of a sample do not depend on them.
"""

from functools import partial

import numpy as np

from ..errors import ConfigError
from ..options import Count, Fraction, Number, Positive, Seed
from ..physics.assignment import density as overdensity
from ..physics.cosmology import growth, growth_rate, hubble, linear_power, second_order_growth
from ..registry import register
from . import Simulated, SimulatedField
from ._lpt import coarser, first_order, linear_modes
from ._lpt import second_order as second_order_displacement
from ._meshes import divide
from ._particle_mesh import evolve

__all__ = ["nbody"]


@register("simulation", "nbody")
def nbody(
    sample: int,
    *,
    samples: Count = 12,
    mesh: Count = 32,
    box_size: Positive = 100.0,
    redshift: Number = 0.0,
    omega_m: Fraction = 0.3175,
    omega_b: Fraction = 0.049,
    h: Positive = 0.6711,
    n_s: Number = 0.9624,
    sigma_8: Positive = 0.834,
    seed: Seed = 1,
    steps: Count = 8,
    second_order: bool = True,
    velocity: bool = False,
    density: bool = False,
    coarsen: Count = 1,
) -> Simulated:
    """One realization of dark matter: Zel'dovich displacement in, displacement of a particle-mesh simulation out.

    The fields are `input` (first order), `2lpt` (to second order) and `target`, all `(3, N, N, N)` [Mpc/h] at the same
    redshift on the lattice of the particles, and on demand `velocity` (peculiar, of the same particles) and `density`
    (CIC overdensity of `target`; its cells are centred on the lattice). The random field of sample i is drawn by
    `numpy.random.default_rng([seed, i])` (PCG64). Raises ConfigError for options that have no meaning.

    With `coarsen`, `input` is the displacement of a second simulation, of fewer particles on a coarser mesh, which
    begins with those modes of the same random field that its mesh has: a pair for super-resolution. Each of its
    particles starts in the middle of the particles that it stands for, so that no reflection of the box can tell one
    corner of them from another. There is no `2lpt` then: it would know phases that the input does not.

    Options:
        samples: how many realizations the dataset has
        mesh: particles, and cells of the force mesh, along each side
        box_size: side of the periodic box [Mpc/h]; at most 4 times mesh for trustworthy forces
        redshift: of all fields
        omega_m: matter density today, of a flat universe
        omega_b: baryon density today, part of omega_m
        h: Hubble constant [100 km/s/Mpc]
        n_s: slope of the primordial spectrum
        sigma_8: rms overdensity of spheres of 8 Mpc/h today, in linear theory
        seed: of all random fields
        steps: time steps, equal in the growth factor
        second_order: write `2lpt`, the baseline to second order
        velocity: write `velocity` [km/s]
        density: write `density`
        coarsen: cells of the mesh for each cell of the input's, along a side; 1 for linear theory as the input
    """
    _check(mesh, redshift, omega_m, omega_b, coarsen)
    power = partial(linear_power, omega_m=omega_m, omega_b=omega_b, h=h, n_s=n_s, sigma_8=sigma_8)
    modes = linear_modes(mesh, box_size, power, np.random.default_rng([seed, sample]))
    linear = float(growth(redshift, omega_m))
    first = first_order(modes, box_size)
    target, slope = evolve(first, box_size, linear, omega_m, steps)

    fields = {"input": _displacement(linear * first), "target": _displacement(target)}
    if coarsen > 1:
        few = first_order(coarser(modes, coarsen), box_size)
        fields["input"] = _displacement(evolve(few, box_size, linear, omega_m, steps)[0])
    elif second_order:
        second = float(second_order_growth(linear, omega_m)[0])
        fields["2lpt"] = _displacement(linear * first + second * second_order_displacement(modes, box_size))
    if velocity:
        fields["velocity"] = SimulatedField(_speed(redshift, omega_m) * slope, "vector", "km/s")
    if density:
        on_lattice = overdensity(target, box_size, order=2, shift=-0.5)
        fields["density"] = SimulatedField(on_lattice[None].astype(np.float32), "scalar", "1")
    return Simulated(
        fields,
        {
            "source": f"m2m_core nbody, sample {sample} of seed {seed}: particle mesh in {steps} steps",
            "box_size": np.full(3, box_size, np.float64),
            "redshift": float(redshift),
            "periodic": True,
            **{"omega_m": omega_m, "omega_b": omega_b, "h": h, "n_s": n_s, "sigma_8": sigma_8},
            **{"mesh": mesh, "steps": steps, "seed": seed, "sample": sample},
            **({"coarsen": coarsen} if coarsen > 1 else {}),
        },
    )


def _displacement(values: np.ndarray) -> SimulatedField:
    return SimulatedField(values, "displacement", "Mpc/h")


def _speed(redshift: float, omega_m: float) -> float:
    """dD / dt times the scale factor [km/s/(Mpc/h)]: turns d psi / d D into a peculiar velocity."""
    rate = growth_rate(redshift, omega_m) * growth(redshift, omega_m)
    return float(hubble(redshift, omega_m) * rate / (1.0 + redshift))


def _check(mesh: int, redshift: float, omega_m: float, omega_b: float, coarsen: int) -> None:
    if mesh < 4:
        raise ConfigError(f"simulation nbody.mesh: {mesh}; expected at least 4 cells")
    divide(mesh, coarsen, "simulation nbody.coarsen")
    if redshift < 0:
        raise ConfigError(f"simulation nbody.redshift: {redshift}; expected 0 or more")
    if omega_b >= omega_m:
        raise ConfigError(f"simulation nbody.omega_b: {omega_b}; expected less than omega_m, which is {omega_m}")
