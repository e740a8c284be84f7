"""The differentiable painting of particles, against the one in numpy, and what it must not lose: mass, memory, bits."""

import math

import numpy as np
import pytest
import torch

from m2m_core.losses.painting import SLAB, paint
from m2m_core.losses.sums import binned
from m2m_core.physics.assignment import density
from tests.benchmarks.painting import peak
from tests.losses.frames import random

torch.set_num_threads(1)
SPACES = [(9,), (6, 8), (2, 2, 3)]


def moves(*space, examples=2, far=2.0):
    return far * random(examples, len(space), *space).double()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("shift", [0.0, 0.5, -0.5])
@pytest.mark.parametrize("finer", [1, 2])
def test_it_is_the_density_of_the_evaluation(space, shift, finer):
    moved = moves(*space)
    mesh = tuple(finer * n for n in space)
    painted = paint(finer * moved, mesh=mesh, shift=shift)
    assert painted.shape == (2, 1, *mesh)
    for example in range(2):
        expected = density(moved[example].numpy(), tuple(map(float, space)), mesh, 2, shift)
        contrast = painted[example, 0].numpy() * finer ** len(space) - 1.0
        np.testing.assert_allclose(contrast, expected, atol=1e-10)


@pytest.mark.parametrize("space", SPACES)
def test_the_gradient_is_that_of_finite_differences(space):
    moved, carried = moves(*space).requires_grad_(), random(2, 2, *space, seed=1).double().requires_grad_()
    mesh = tuple(n + 1 for n in space)
    assert torch.autograd.gradcheck(lambda a, b: paint(a, b, mesh, 1, 0.1), (moved, carried))
    assert torch.autograd.gradcheck(lambda a: paint(a), (moved,))
    assert torch.autograd.gradcheck(lambda b: paint(moved.detach(), b), (carried,))


@pytest.mark.parametrize("far", [0.0, 3.0, 1e3, 1e7])
@pytest.mark.parametrize("margin", [0, 3])
def test_no_mass_is_lost_however_far_it_goes(far, margin):
    painted = paint(far * random(3, 3, 16, 16, 16), margin=margin)
    assert painted.double().sum((1, 2, 3, 4)).tolist() == pytest.approx([16**3] * 3, rel=1e-6)
    assert float(painted.min()) > -1e-12
    exact = paint(far * random(3, 3, 16, 16, 16).double(), margin=margin)
    assert exact.sum((1, 2, 3, 4)).tolist() == pytest.approx([16**3] * 3, rel=1e-13)


def test_particles_at_rest_are_uniform_and_what_they_carry_adds_up():
    assert torch.equal(paint(torch.zeros(1, 2, 4, 6)), torch.ones(1, 1, 4, 6))
    carried = random(2, 3, 8, 8, 8, seed=3).double()
    painted = paint(moves(8, 8, 8), carried)
    torch.testing.assert_close(painted.sum((2, 3, 4)), carried.sum((2, 3, 4)), rtol=0, atol=1e-10)


def test_a_particle_is_where_it_should_be():
    moved = torch.zeros(1, 2, 4, 4)
    carried = torch.zeros(1, 1, 4, 4)
    carried[0, 0, 1, 2] = 1.0
    moved[0, :, 1, 2] = torch.tensor([0.25, 2.0])  # from (1.5, 2.5) to (1.75, 4.5), around the edge
    painted = paint(moved, carried)[0, 0]
    expected = torch.zeros(4, 4)
    expected[1, 0] = expected[1, 1] = 0.125
    expected[2, 0] = expected[2, 1] = 0.375
    torch.testing.assert_close(painted, expected)


def test_examples_do_not_know_each_other_and_the_order_of_sums_does_not_matter(monkeypatch):
    moved, carried = (
        random(3, 3, 8, 8, 8),
        random(3, 2, 8, 8, 8, seed=1) * torch.tensor([1e-30, 1.0, 1e30])[:, None, None, None, None],
    )
    painted = paint(moved, carried)
    assert all(torch.equal(painted[i : i + 1], paint(moved[i : i + 1], carried[i : i + 1])) for i in range(3))
    monkeypatch.setitem(SLAB, "cpu", 100)
    assert torch.equal(painted, paint(moved, carried))


def test_sums_do_not_depend_on_the_order_of_what_is_added():
    values, index = random(2, 5000).exp(), torch.arange(5000) % 7
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    first = binned(values, index, 8)
    assert torch.equal(first, binned(values[:, order], index[order], 8))
    torch.testing.assert_close(first[:, 3], values[:, 3::7].sum(1))
    assert first[:, 7].tolist() == [0.0, 0.0]
    small = values[:, :50].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: binned(x, index[:50], 8), (small,))
    values[0, 17] = math.nan
    assert binned(values, index, 8)[0].isnan().all() and torch.equal(binned(values, index, 8)[1], first[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_example_that_is_not_finite_holds_nan_and_leaves_the_others(bad):
    moved = random(2, 2, 6, 6)
    whole = paint(moved)
    spoilt = moved.clone()
    spoilt[1, 0, 2, 2] = bad
    spoilt.requires_grad_()
    painted = paint(spoilt)
    assert painted[1].isnan().all() and torch.equal(painted[0], whole[0])
    painted.nansum().backward()
    carried = torch.ones(2, 1, 6, 6)
    carried[0, 0, 0, 0] = bad
    assert paint(moved, carried).isnan().flatten(1).all(1).tolist() == [True, False]


@pytest.mark.parametrize("examples", [1, 3])
def test_memory_is_a_small_multiple_of_the_input(examples):
    moved = random(examples, 3, 64, 64, 64)
    assert moved.nbytes < peak(lambda: _descend(moved)) < 6 * moved.nbytes
    assert peak(lambda: torch.stack([moved * n for n in range(6)])) >= 12 * moved.nbytes  # which would be seen


def _descend(moved):
    moved = moved.detach().requires_grad_()
    paint(moved).square().mean().backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bits_each_time():
    moved, carried = (4.0 * random(2, 3, 64, 64, 64)).cuda(), random(2, 3, 64, 64, 64, seed=1).cuda()
    first = paint(moved, carried)
    assert all(torch.equal(first, paint(moved, carried)) for _ in range(5))
    torch.testing.assert_close(first.cpu(), paint(moved.cpu(), carried.cpu()))
