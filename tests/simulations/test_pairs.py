"""Pairs of simulations for super-resolution: the same modes, lattices that nest, and gravity that agrees."""

import math

import numpy as np
import pytest
import scipy.fft

from m2m_core.errors import ConfigError
from m2m_core.physics.grid import frequencies
from m2m_core.physics.interpolation import refined
from m2m_core.physics.spectra import spectra
from m2m_core.simulations._lpt import coarser, first_order
from m2m_core.simulations.nbody import nbody
from tests.simulations.test_lpt import BOX, MESH, draw, modes_of

PAIR = {"mesh": 32, "box_size": 100.0, "steps": 4, "seed": 3, "coarsen": 2}


@pytest.mark.parametrize("factor", [2, 4])
def test_a_wave_is_sampled_in_the_middle_of_the_voxels(factor):
    """n = (1, -2, 1), which both meshes have; the coarse voxel i lies at (i + 1/2) / M."""
    fine, coarse = (np.meshgrid(*[(np.arange(n) + 0.5) / n] * 3, indexing="ij") for n in (MESH, MESH // factor))
    waves = [np.cos(2 * math.pi * (x - 2 * y + z)) for x, y, z in (fine, coarse)]
    found = coarser(modes_of(waves[0]), factor)
    np.testing.assert_allclose(found, modes_of(waves[1]), atol=2e-3)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_coarse_displacement_is_the_fine_one_without_its_small_scales(factor):
    modes, mesh = draw(1), MESH // factor
    smooth = np.where(4 * sum(n**2 for n in frequencies((MESH,) * 3)) < mesh**2, modes, 0)
    fine, coarse = first_order(smooth, BOX), first_order(coarser(modes, factor), BOX)
    assert coarse.shape == (3, mesh, mesh, mesh)
    blocks = fine.reshape(3, *(mesh, factor) * 3).mean(axis=(2, 4, 6))
    window = 1.0
    for n, axis in zip(frequencies((mesh,) * 3), range(3), strict=True):  # the mean over `factor` voxels, wave by wave
        x = math.pi * n / MESH
        window = window * np.where(n == 0, 1.0, np.sin(factor * x) / (factor * np.sin(np.where(n == 0, 1.0, x))))
        assert window.shape[axis] == len(n.ravel())
    expected = np.stack([scipy.fft.irfftn(scipy.fft.rfftn(psi) * window, s=(mesh,) * 3) for psi in coarse])
    np.testing.assert_allclose(blocks, expected, atol=1e-4 * coarse.std())


def test_both_simulations_agree_where_both_see():
    """To the scales of a third of the coarse Nyquist frequency; a fine voxel beside it, they do not."""
    fields = nbody(0, **PAIR).fields
    assert {name: field.values.shape[1] for name, field in fields.items()} == {"input": 16, "target": 32}
    coarse, fine = fields["input"].values, fields["target"].values
    near = refined(coarse, 2, [True] * 3)
    (r, t), (other, _) = (judged(field, fine) for field in (near, np.roll(near, 1, axis=1)))
    assert len(r) > 1 and r.min() > 0.999 and np.abs(t - 1).max() < 0.1
    assert (1 - other > 20 * (1 - r)).all()


def judged(field, fine):
    """Correlation and transfer function of the large scales."""
    found = spectra(field, fine, (100.0,) * 3)
    low = found.k < math.pi * 16 / 100.0 / 3
    return (found.cross / np.sqrt(found.power_a * found.power_b))[low], np.sqrt(found.power_a / found.power_b)[low]


def test_the_target_does_not_depend_on_the_input():
    alone, pair = nbody(1, **{**PAIR, "coarsen": 1}), nbody(1, **PAIR)
    assert np.array_equal(alone.fields["target"].values, pair.fields["target"].values)
    assert "2lpt" in alone.fields and "coarsen" not in alone.attributes and pair.attributes["coarsen"] == 2


@pytest.mark.parametrize("factor", [3, 16])
def test_meshes_that_cannot_be(factor):
    with pytest.raises(
        ConfigError, match=f"^simulation nbody.coarsen: {factor}, of a mesh of 32 cells; expected one of 1, 2, 4, 8$"
    ):
        nbody(0, **{**PAIR, "coarsen": factor})
