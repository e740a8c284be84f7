"""Options of the networks that map2map has not, ignores or trips over: each has a say, in every network."""

import pytest
import torch
from torch import nn

from m2m_core.errors import ConfigError
from m2m_core.models import build, is_styled
from m2m_core.models._padding import narrow

NAMES = ("unet", "vnet", "styled_vnet")
SMALL = {"width": 4, "depth": 1, "padding": "periodic", "groups": 2}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(name, **options):
    torch.manual_seed(1)
    net = build(name, {**SMALL, **options}, 2, 2, 2, styles=int(is_styled(name)))
    return net, ([torch.ones(3, 1)] if is_styled(name) else [])


def run(net, style, x):
    return net(x, *(s[: len(x)] for s in style))


X = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("padding", ["valid", "periodic", "zero"])
def test_the_bypass_is_added_when_it_is_asked_for_and_not_otherwise(name, padding):
    with_bypass, style = network(name, padding=padding)
    without, _ = network(name, padding=padding, bypass=False)
    x = torch.randn(2, 2, *with_bypass.geometry.reads((4, 4), padding != "valid"))
    with torch.no_grad():
        difference = run(with_bypass, style, x) - run(without, style, x)
    assert torch.allclose(difference, narrow(x, difference.shape[2:]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_channels_inside_a_block_can_be_chosen(name):
    net, style = network(name, hidden=7)
    inside = [layer.weight.shape[0] for layer in net.encode[0].modules() if type(layer).__name__.endswith(("2d", "on"))
              and layer.weight.shape[-1] == 3]  # fmt: skip
    assert inside == [7, 4] and run(net, style, X).shape == X.shape
    usual, same = (network(name, hidden=hidden)[0].state_dict() for hidden in (None, 4))
    assert usual["encode.0.convs.0.weight" if name != "unet" else "encode.0.0.weight"].shape[0] == 4
    assert usual.keys() == same.keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation, kind", [("relu", nn.ReLU), ("silu", nn.SiLU), ("gelu", nn.GELU), ("elu", nn.ELU)])
def test_the_activation_is_the_one_that_is_named(name, activation, kind):
    net, style = network(name, activation=activation)
    usual, _ = network(name)
    assert [m for m in net.modules() if isinstance(m, kind)] and not [
        m for m in net.modules() if isinstance(m, nn.LeakyReLU)
    ]
    y = run(net, style, X)
    assert not torch.allclose(y, run(usual, style, X))
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_group_normalisation_trains_with_one_example_as_with_many(name):
    """Batch normalisation does not: what it makes of an example in training depends on the others."""
    for normalization, same in (("group", True), ("batch", False)):
        net, style = network(name, normalization=normalization)
        with torch.no_grad():
            alone = torch.cat([run(net.train(), style, x[None]) for x in X])
            assert torch.allclose(run(net, style, X), alone, atol=1e-5) == same


@pytest.mark.parametrize("name", NAMES)
def test_groups_that_do_not_divide_the_channels_are_refused(name):
    with pytest.raises(ConfigError, match=r"^model.groups: 3, but a layer has 4 channels; expected one of 1, 2, 4$"):
        network(name, normalization="group", groups=3)


def test_nothing_is_left_out_of_a_field_that_is_narrowed_to_its_own_size():
    assert torch.equal(narrow(X, X.shape[2:]), X)
    assert torch.equal(narrow(X, (6, 7)), X[:, :, 1:7, 0:7])
