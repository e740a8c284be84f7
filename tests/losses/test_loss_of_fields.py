"""Losses that know what the numbers mean, against plane waves, the spectra of the evaluation, and particles by hand."""

import math

import numpy as np
import pytest
import torch

from m2m_core.errors import ConfigError
from m2m_core.metrics import Comparison
from m2m_core.physics import spectra
from m2m_core.physics.assignment import density, paint
from tests.losses.frames import computed, frame_of, random

torch.set_num_threads(1)
WHOLE = {"periodic": True, "cell": 2.0}


def wave(n, number, axes=2, axis=0):
    """cos(2 pi number x / n) along an axis, (1, 1, n, ...)."""
    x = torch.cos(2 * math.pi * number * torch.arange(n, dtype=torch.float64) / n)
    return x.reshape([-1 if i == axis else 1 for i in range(axes)]).expand([n] * axes)[None, None].clone()


# ---- gradients


def test_the_gradient_of_a_plane_wave():
    n, number = 16, 3
    field, zero = wave(n, number), torch.zeros(1, 1, n, n).double()
    expected = 0.5 * (2 * math.sin(math.pi * number / n)) ** 2 / 2  # along one of two axes
    assert computed("gradient", field, zero, frame_of(field)).item() == pytest.approx(expected)
    assert computed("gradient", field + 7.0, zero, frame_of(field)).item() == pytest.approx(expected)


def test_a_longer_edge_is_a_smaller_gradient():
    field, zero = wave(16, 3), torch.zeros(1, 1, 16, 16).double()
    values = [computed("gradient", field, zero, frame_of(field, cell=c)).item() for c in [(2.0, 2.0), (4.0, 2.0)]]
    assert values[0] == pytest.approx(4 * values[1])
    assert computed("gradient", field, zero, frame_of(field, cell=(2.0, 4.0))).item() == pytest.approx(values[0])


def test_a_crop_has_no_gradient_across_its_edge():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8).clone()
    zero = torch.zeros_like(ramp)
    assert computed("gradient", ramp, zero, frame_of(ramp, periodic=False)).item() == pytest.approx(0.5)
    assert computed("gradient", ramp, zero, frame_of(ramp)).item() == pytest.approx((7 + 49) / 8 / 2)
    steps = [
        computed("gradient", ramp, zero, frame_of(ramp, periodic=p)).item() for p in ((True, False), (False, True))
    ]
    assert steps == pytest.approx([0.5, (7 + 49) / 8 / 2])


# ---- spectra


@pytest.mark.parametrize("space", [(16, 16), (12, 16, 10), (9, 8, 8)])
@pytest.mark.parametrize("goes_on", [(True, True), (False, False), (False, True)])
def test_spectra_are_those_of_the_evaluation(space, goes_on):
    x, t = random(1, 1, *space).double(), 2.0 * random(1, 1, *space, seed=1).double()
    box = tuple(2.0 * n for n in space)
    around = (*goes_on, True)[: len(space)]
    found = Comparison(x[0].numpy(), t[0].numpy(), box, "field", around).spectra
    expected = np.mean(np.log(found.power_a / found.power_b) ** 2)
    assert computed("spectral", x, t, frame_of(x, periodic=around)).item() == pytest.approx(expected, rel=1e-9)
    assert len(found.k) > 2


def test_shells_below_k_min_do_not_count_and_weights_follow_the_slope():
    x, t = random(1, 1, 16, 16).double(), random(1, 1, 16, 16, seed=1).double()
    found = spectra.spectra(x[0, 0].numpy(), t[0, 0].numpy(), (32.0, 32.0))
    squares = np.log(found.power_a / found.power_b) ** 2
    unit = 2 * math.pi / 32.0
    value = computed("spectral", x, t, frame_of(x), k_min=3 * unit).item()
    assert value == pytest.approx(squares[2:].mean())
    assert computed("spectral", x + 0.9 * wave(16, 1), t, frame_of(x), k_min=3 * unit).item() == pytest.approx(value)
    weights = np.arange(1, len(squares) + 1) + 0.5
    steep = computed("spectral", x, t, frame_of(x), slope=1.0).item()
    assert steep == pytest.approx(np.average(squares, weights=weights))


def test_a_scale_is_a_shift_of_the_logarithm_in_every_channel():
    x = random(3, 2, 16, 16)
    assert computed("spectral", 10 * x, x, frame_of(x)).item() == pytest.approx(math.log(100) ** 2, rel=1e-4)


def test_no_window_would_be_wrong_for_crops():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16) + 0.1 * random(1, 1, 16, 16)
    t = 0.1 * random(1, 1, 16, 16, seed=1)
    values = [computed("spectral", ramp, t, frame_of(t, periodic=p), k_min=1.0).item() for p in (True, False)]
    assert values[1] < 0.1 * values[0]  # the jump at the edge adds power at all k


def test_a_wave_number_that_no_crop_has():
    x = random(1, 1, 16, 16)
    line = "k_min: 1.5 h/Mpc, in crops whose shells end at 1.571 h/Mpc; expected at most 1.374"
    with pytest.raises(ConfigError, match=line):
        computed("spectral", x, x, frame_of(x), k_min=1.5)


# ---- densities and momenta


@pytest.mark.parametrize("space", [(8, 6), (6, 5, 4)])
def test_densities_are_those_of_the_evaluation(space):
    x, t = random(2, len(space), *space).double(), random(2, len(space), *space, seed=1).double()
    cell = tuple(1.0 + 0.5 * axis for axis in range(len(space)))
    spread, shift = torch.tensor([[3.0], [5.0]]).double(), torch.tensor([[0.5], [-1.0]]).double()
    frame = frame_of(x, cell=cell, spread=spread, shift=shift)
    box = tuple(n * c for n, c in zip(space, cell, strict=True))
    euler, both = [], []
    for a, b, wide, off in zip(x, t, spread, shift, strict=True):
        ours, true = (density((f * wide + off).numpy(), box) for f in (a, b))
        euler.append(np.mean((ours - true) ** 2))
        both.append(3 * math.log((a - b).square().mean()) + math.log(euler[-1]))
    assert computed("eulerian", x, t, frame).item() == pytest.approx(np.mean(euler), rel=1e-6)
    assert computed("lagrangian_eulerian", x, t, frame).item() == pytest.approx(np.mean(both), rel=1e-6)
    harder = computed("lagrangian_eulerian", x, t, frame, exponent=4.0).item() - np.mean(both)
    assert harder == pytest.approx(np.mean([math.log((a - b).square().mean()) for a, b in zip(x, t, strict=True)]))


def test_particles_that_exchange_their_places_make_the_same_density():
    """What no loss of displacements alone can know."""
    target = torch.zeros(1, 2, 6, 6)
    swapped = target.clone()
    swapped[0, 0, 1, 1], swapped[0, 0, 2, 1] = 1.0, -1.0
    frame = frame_of(target, cell=2.0, spread=2.0)
    assert computed("eulerian", swapped, target, frame) == 0 and computed("mse", swapped, target) > 0


def test_no_particle_of_a_crop_is_lost_and_a_common_drift_does_not_matter():
    """map2map dropped what left its mesh, 2204 of 32768 particles in a test, and the error that they make with them."""
    drift = torch.tensor([100.0, -40.0, 7.0]).reshape(1, 3, 1, 1, 1)
    target = 4.0 * random(1, 3, 8, 8, 8)
    prediction = target.clone()
    prediction[0, 0, 7] += 20.0  # particles at the edge alone, and outwards
    frame = frame_of(target, periodic=False, spread=1.0, cell=1.0)
    value = computed("eulerian", prediction, target, frame)
    assert value > 0.05
    assert computed("eulerian", target + 5.0, target, frame) > 0.1  # a drift of the prediction alone does matter
    torch.testing.assert_close(
        computed("eulerian", prediction + drift, target + drift, frame), value, rtol=1e-3, atol=0
    )


def test_a_margin_keeps_the_faces_of_a_crop_apart():
    target = torch.zeros(1, 2, 8, 8)
    prediction = target.clone()
    prediction[:, 0] += 1.0  # as a whole by one cell: on a torus of eight cells nothing happens
    frame = frame_of(target, periodic=False, spread=1.0, cell=1.0)
    assert computed("eulerian", prediction, target, frame, margin=0) == 0
    # along that axis the density is 1/2, 1, ..., 1, 1/2 (four differences of 1/2), along the other the same
    assert computed("eulerian", prediction, target, frame, margin=1).item() == pytest.approx(1.0 * 7.5 / 64)


def test_momenta_are_velocities_where_the_particles_are():
    quantities = (("displacement", 2), ("vector", 2))
    x, t = random(1, 4, 6, 6).double(), random(1, 4, 6, 6, seed=1).double()
    frame = frame_of(x, quantities, cell=1.0, spread=torch.tensor([[2.0, 2.0, 300.0, 400.0]]).double())
    unit = math.sqrt((300**2 + 400**2) / 2)
    total = 0.0
    for component, spread in ((2, 300.0), (3, 400.0)):
        ours, true = (by_hand(2.0 * f[0, :2], spread / unit * f[0, component]) for f in (x, t))
        total += np.mean((ours - true) ** 2) / 2
    assert computed("momentum", x, t, frame).item() == pytest.approx(total, rel=1e-6)
    flipped = computed("momentum", -x, -t, frame)
    assert flipped.item() != pytest.approx(total)  # displacements turn as well


def by_hand(moved, carried):
    """What particles carry, painted one by one."""
    mesh = np.zeros((6, 6))
    for place in np.ndindex(6, 6):
        alone = np.full((2, 6, 6), 0.0)
        alone[:, *place] = moved[:, *place].numpy()
        rest = paint(np.zeros((2, 6, 6)), 6.0)
        mesh += float(carried[place]) * (paint(alone, 6.0) - rest + single(place))
    return mesh


def single(place):
    """One particle at rest: the difference of two lattices, of which one lacks it, is a quarter of each corner."""
    mesh = np.zeros((6, 6))
    for corner in np.ndindex(2, 2):
        mesh[tuple((p + c) % 6 for p, c in zip(place, corner, strict=True))] += 0.25
    return mesh


def test_a_target_with_no_velocity_or_two_displacements_is_refused():
    x = random(1, 4, 6, 6)
    with pytest.raises(ConfigError, match="loss: the target has 0 parts that are a vector; expected one"):
        computed("momentum", x, x, frame_of(x, (("displacement", 2), ("scalar", 2))))
    with pytest.raises(ConfigError, match="loss: the target has 2 parts that are a displacement; expected one"):
        computed("eulerian", x, x, frame_of(x, (("displacement", 2), ("displacement", 2))))
