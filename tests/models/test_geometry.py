"""Halo, surplus and sizes of U-shaped networks, against a walk through the levels."""

import subprocess
import sys

import pytest

from m2m_core import registry
from m2m_core.errors import ConfigError
from m2m_core.models import Geometry, build, geometry_of
from m2m_core.models.geometry import halo, shrink, surplus


def walk(size, depth, convolutions, blocks=1):
    """The output's edge for an input's, or None where a level has an odd edge or nothing left."""
    row = [2 * convolutions * (1 if level else blocks) for level in range(depth + 1)]
    for level in range(depth):
        size -= row[level]
        if size <= 0 or size % 2:
            return None
        size //= 2
    for level in reversed(range(depth)):
        size = 2 * (size - row[level + 1])
    size -= row[0]
    return size if size > 0 else None


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("convolutions", [1, 2, 3])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 5, 6])
def test_the_halo_is_the_least_that_every_multiple_of_the_factor_can_take(depth, convolutions, blocks):
    blocks = blocks if depth else 1  # without levels there is one row of blocks, not two
    cores = [2**depth * n for n in (1, 2, 3, 5)]

    def left(h):
        return [walk(core + 2 * h, depth, convolutions, blocks) for core in cores]

    h, cut = halo(depth, convolutions, blocks), surplus(depth, convolutions, blocks)
    assert left(h) == [core + 2 * cut for core in cores]
    least = shrink(depth, convolutions, blocks) // 2
    assert all(None in left(smaller) for smaller in range(least, h))
    assert cut == h - least < max(1, 2**depth // 2)


def test_the_published_networks_lose_forty_voxels():
    assert (shrink(2), halo(2), surplus(2)) == (40, 20, 0)
    assert (shrink(3, blocks=2), halo(3, blocks=2), surplus(3, blocks=2)) == (96, 48, 0)


@pytest.mark.parametrize(
    ("padding", "whole", "reads", "runs_as"),
    [
        ("valid", False, (72, 48), "valid"),
        ("valid", True, (72, 48), "valid"),
        ("periodic", False, (72, 48), "valid"),
        ("periodic", True, (32, 8), "periodic"),
        ("zero", False, (32, 8), "zero"),
        ("zero", True, (32, 8), "zero"),
    ],
)
def test_what_is_read(padding, whole, reads, runs_as):
    geometry = geometry_of("vnet", {"depth": 2, "padding": padding, "width": 4})
    assert geometry.reads((32, 8), whole) == reads
    assert geometry.runs_as(whole) == runs_as


def test_sizes_that_are_no_multiples_are_refused_with_the_nearest():
    geometry = Geometry(20, 4, "valid")
    geometry.admit((4, 32), "here")
    with pytest.raises(ConfigError, match=r"^here: 30; .* multiples of 4, nearest 28 or 32$"):
        geometry.admit((32, 30), "here")
    with pytest.raises(ConfigError, match="nearest 4$"):
        geometry.admit((3,))
    assert geometry.nearest(32) == (32,)


@pytest.mark.parametrize(("padding", "size", "core"), [("valid", 44, 4), ("valid", 72, 32), ("zero", 12, 12)])
def test_the_core_of_an_input(padding, size, core):
    assert geometry_of("unet", {"padding": padding}).core((size, size)) == (core, core)
    for other in (size + 2, 0):
        with pytest.raises(ConfigError, match=rf"\({other}, {size}\); edges are multiples of 4"):
            geometry_of("unet", {"padding": padding}).core((other, size))


def test_no_network_is_deeper_than_any_field():
    assert geometry_of("unet", {"depth": 6}).halo == 382
    for name in ("unet", "vnet"):
        with pytest.raises(ConfigError, match="model.depth: 1000000000; at most 6"):
            geometry_of(name, {"depth": 10**9})


def test_options_of_the_model_and_of_its_geometry_agree():
    for name in registry.entries("model"):
        model, geometry = registry.find("model", name).options, registry.find("geometry", name).options
        assert {key: model[key] for key in geometry} == geometry


PLUGIN = """
from m2m_core.models import Geometry
from m2m_core.registry import register

@register("model", "mine")
def mine(in_channels, out_channels, dims, *, edge: int = 3):
    return (in_channels, out_channels, dims, edge)

{geometry}
"""
GEOMETRY = """
@register("geometry", "mine")
def halo(*, edge: int = 3):
    return Geometry(halo=edge // 2, factor=1, padding="valid")
"""


@pytest.fixture
def plugin(tmp_path):
    def use(geometry):
        path = tmp_path / "mine.py"
        path.write_text(PLUGIN.format(geometry=geometry))
        registry.use_plugins([str(path)])

    yield use
    registry.use_plugins([])


def test_a_model_of_ones_own_says_its_halo(plugin):
    plugin(GEOMETRY)
    assert geometry_of("mine", {"edge": 7}) == Geometry(3, 1, "valid")
    assert build("mine", {"edge": 7}, 1, 2, 3, padding="valid") == (1, 2, 3, 7)


def test_a_model_without_geometry_is_told_to_register_one(plugin):
    plugin("")
    with pytest.raises(ConfigError, match=r'model.name: \'mine\' .*@register\("geometry", "mine"\)') as caught:
        geometry_of("mine", {"edge": 7})
    assert "\n" not in str(caught.value)


def test_unknown_models_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="model.name: unknown model 'vnt'; did you mean 'vnet'"):
        build("vnt", {}, 1, 1, 2)


def test_geometry_needs_no_torch():
    code = "import sys, m2m_core.losses; from m2m_core import crops, models; models.geometry_of('vnet', {'depth': 3})"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
