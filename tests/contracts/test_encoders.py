"""The contract of every network that makes numbers of fields: sizes told before, batches, gradients, known counts."""

import itertools

import pytest
import torch

from m2m_core import models, registry
from m2m_core.errors import ConfigError
from m2m_core.models.geometry import strides

SMALL = {"layer_param": 2, "hidden": 2, "dropout": 0.0}
ENCODERS = list(itertools.product(sorted(registry.entries("encoder")), (2, 3)))
torch.set_num_threads(1)


def options(name, **given):
    known = registry.find("encoder", name).options
    return registry.check("encoder", name, {k: v for k, v in (SMALL | given).items() if k in known})


def network(name, dims, channels=2, outputs=3, edge=32, **given):
    torch.manual_seed(1)
    return models.build_encoder(name, options(name, **given), channels, outputs, (edge,) * dims)


def count(name, edge=256, channels=1, outputs=1, **given):
    net = models.build_encoder(name, registry.check("encoder", name, given), channels, outputs, (edge, edge))
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("name", "dims"), ENCODERS)
def test_a_batch_of_fields_becomes_a_batch_of_numbers_each_as_if_alone(name, dims):
    net = network(name, dims).eval()
    x = torch.randn(3, 2, *[32] * dims)
    with torch.no_grad():
        together, alone = net(x), torch.cat([net(part) for part in x.split(1)])
    assert together.shape == (3, 3)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-5


@pytest.mark.parametrize("edge", [32, 40, 64, 96])
@pytest.mark.parametrize("name", sorted(registry.entries("encoder")))
def test_every_admissible_edge_is_taken_and_every_parameter_learns(name, edge):
    assert models.geometry_of(name, {}).nearest(edge) == (edge,)
    net = network(name, 2, edge=edge)
    net(torch.randn(4, 2, edge, edge)).square().mean().backward()
    assert [key for key, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", sorted(registry.entries("encoder")))
def test_other_edges_are_refused_with_the_nearest(name):
    geometry = models.geometry_of(name, {})
    with pytest.raises(ConfigError, match=r"^crops.size: 33; the model takes .* nearest 32 or (40|36)$"):
        geometry.admit((33, 33))
    with pytest.raises(ConfigError, match="equal edges"):
        geometry.admit((32, 64))
    for edge in geometry.nearest(33):
        geometry.admit((edge, edge))
    assert models.geometry_of("racoon", {}).nearest(8) == (32,)


@pytest.mark.parametrize(("name", "dims"), ENCODERS)
def test_another_input_is_refused_before_anything_is_computed(name, dims):
    net = network(name, dims)
    for shape in ((1, *[32] * dims), (2, *[64] * dims)):
        with pytest.raises(ConfigError, match="an input of"):
            net(torch.zeros(1, *shape))


def test_the_published_networks_have_the_published_parameters():
    assert [count("racoon", layer_param=n) for n in (8, 16)] == [45_409, 180_929]
    assert [count("penguin", layer_param=n) for n in (8, 16)] == [269_825, 1_077_505]


def test_o3_has_the_layers_of_its_source():
    h, total, before = 6, 0, 1
    for stage in range(6):
        after = 2 * h * 2**stage
        total += before * after * 9 + after + after * after * 9 + after + after * after * 4 + after
        total += 2 * after * (2 if stage == 0 else 3)  # no batch normalisation after the very first convolution
        before = after
    total += 64 * h * 128 * h * 16 + 128 * h + 2 * 128 * h
    total += 128 * h * 64 * h + 64 * h + 64 * h + 1
    assert count("o3", hidden=h) == total
    convs = [layer for layer in network("o3", 2).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [c.padding_mode for c in convs[:2]] == ["circular"] * 2 and len(convs) == 3 * 3 + 1


def test_channels_and_outputs_count_in_the_first_and_last_layer_alone():
    base = count("racoon", layer_param=8)
    assert count("racoon", layer_param=8, channels=3) == base + 2 * 8 * 16
    assert count("racoon", layer_param=8, outputs=4) == base + 3 * 9


def test_strides_share_the_halvings():
    assert [strides(edge) for edge in (256, 128, 64, 32)] == [(4, 4, 4), (4, 4, 2), (4, 2, 2), (2, 2, 2)]
    assert strides(512) == (8, 4, 4)


def test_a_misspelt_architecture_is_no_racoon():
    with pytest.raises(ConfigError, match="unknown encoder 'racon'; did you mean 'racoon'"):
        models.build_encoder("racon", {}, 1, 1, (32, 32))


def test_a_translation_by_whole_strides_moves_what_o3_sees_around_the_box():
    net = network("o3", 2, channels=1, outputs=1).double().eval()
    x = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        before, after = net.convs[:18](x), net.convs[:18](x.roll((8, 16), (2, 3)))
    stride = 32 // before.shape[2]
    assert torch.allclose(before.roll((8 // stride, 16 // stride), (2, 3)), after)
