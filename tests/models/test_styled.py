"""Styled networks: weights of each example by its style, and velocities that are derivatives of displacements."""

import itertools

import pytest
import torch
from torch.nn import functional

from m2m_core.errors import ConfigError
from m2m_core.models import build
from m2m_core.models._convolution import Layers, StyledConvolution

CONVOLVE = {
    (kind, dims): getattr(functional, f"conv{'_transpose' if kind == 'U' else ''}{dims}d")
    for kind in "CPDU"
    for dims in (1, 2, 3)
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def shaken(net):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return net.double()


# ---- one convolution


@pytest.mark.parametrize("kind, dims", CONVOLVE)
def test_each_example_is_convolved_with_its_own_weights_of_unit_norm(kind, dims):
    """Modulation and demodulation of Karras et al. 2020, equations 1 and 3, example by example."""
    layer = StyledConvolution(kind, 3, 5, Layers(dims, styles=2)).double()
    torch.nn.init.normal_(layer.weight), torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(4, 3, *[6] * dims, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    expected = []
    for field, numbers in zip(x, style, strict=True):
        scale = layer.style_weight @ numbers + layer.style_bias
        inputs = 0 if kind == "U" else 1  # the axis of the input channels
        weight = layer.weight * scale.reshape([-1 if axis == inputs else 1 for axis in range(2 + dims)])
        others = (inputs, *range(2, 2 + dims))
        weight = weight / (weight.square().sum(others, keepdim=True) + 1e-8).sqrt()
        stride = 2 if kind in "DU" else 1
        expected.append(CONVOLVE[kind, dims](field[None], weight, layer.bias, stride=stride))
    assert torch.allclose(layer(x, style), torch.cat(expected), rtol=0, atol=1e-12)


def test_only_the_direction_of_the_scales_matters():
    layer = StyledConvolution("C", 3, 4, Layers(2, styles=1))
    torch.nn.init.normal_(layer.weight), torch.nn.init.zeros_(layer.bias), torch.nn.init.zeros_(layer.style_bias)
    x = torch.randn(1, 3, 5, 5).repeat(3, 1, 1, 1)
    one, twice, other = layer(x, torch.tensor([[1.0], [2.0], [-1.0]]))
    assert torch.allclose(one, twice, atol=1e-6) and torch.allclose(one, -other, atol=1e-6)


# ---- the V-Net


@pytest.mark.parametrize(
    "depth, blocks, size", [(1, 2, (6, 10)), (2, 1, (8, 12)), (2, 2, (8, 8)), (3, 2, (16,)), (1, 2, (4, 6, 2))]
)
def test_a_periodic_box_alone_and_with_its_halo_give_the_same(depth, blocks, size):
    options = {"width": 4, "depth": depth, "blocks": blocks}
    whole = shaken(build("styled_vnet", options, 2, 2, len(size), "periodic", styles=2))
    valid = build("styled_vnet", options, 2, 2, len(size), styles=2).double()
    valid.load_state_dict(whole.state_dict())
    x, style = torch.randn(2, 2, *size, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    h, wide = valid.geometry.halo, x
    for axis, n in enumerate(size, start=2):
        wide = wide.index_select(axis, torch.arange(-h, n + h) % n)
    with torch.no_grad():
        assert torch.allclose(valid(wide, style), whole(x, style), rtol=0, atol=1e-10)


def test_the_style_changes_the_output_and_its_weights_learn():
    net = build("styled_vnet", {"width": 4, "depth": 1}, 2, 2, 2, "periodic", styles=3)
    x = torch.randn(1, 2, 8, 8)
    one, other = (net(x, torch.full((1, 3), value)) for value in (0.1, 1.0))
    assert (one - other).abs().max() > 1e-2
    (one - other).square().mean().backward()
    styled = [p.grad for key, p in net.named_parameters() if key.endswith("style_weight")]
    assert styled and all(gradient.any() for gradient in styled)


# ---- displacement and velocity

OPTIONS = {"width": 4, "depth": 1, "blocks": 1}
STYLE = torch.tensor([[0.3, 0.9], [0.2, 0.5], [0.4, 1.0]], dtype=torch.float64)


def emulator(styles=2, channels=(2, 4), **options):
    return shaken(
        build("displacement_velocity", {**OPTIONS, "padding": "periodic", **options}, *channels, 2, styles=styles)
    )


def halves(y):
    return y.chunk(2, 1)


@pytest.mark.parametrize(
    "padding, activation", list(itertools.product(("valid", "periodic", "zero"), ("leaky_relu", "silu")))
)
def test_the_velocity_is_the_derivative_of_the_displacement_with_respect_to_growth(padding, activation):
    net = emulator(padding=padding, activation=activation, displacement="absolute")
    x = torch.randn(3, 2, *net.geometry.reads((4, 4), padding != "valid"), dtype=torch.float64)
    step = torch.tensor([0.0, 1e-6], dtype=torch.float64)
    with torch.no_grad():
        after, before = (halves(net(x, STYLE + sign * step))[0] for sign in (1, -1))
        velocity = halves(net(x, STYLE))[1]
    assert velocity.abs().max() > 0.1
    assert torch.allclose(velocity, (after - before) / 2e-6, rtol=1e-6, atol=1e-7)


def test_displacements_are_in_units_of_the_growth_unless_absolute_ones_are_asked_for():
    absolute, net = (emulator(displacement=unit) for unit in ("absolute", "per_growth"))
    net.load_state_dict(absolute.state_dict())
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        (one, v), (other, w) = halves(absolute(x, STYLE)), halves(net(x, STYLE))
    assert torch.allclose(one, other * STYLE[:, 1].reshape(-1, 1, 1, 1), atol=1e-12) and torch.equal(v, w)


def test_without_correction_it_is_linear_theory_at_every_redshift():
    """psi = D x and dpsi/dD = x: displacement and velocity are the input in their units."""
    net = emulator()
    for layer in (net.displacement.decode[0].convs[-1], net.displacement.decode[0].skip):
        for parameter in (layer.weight, layer.bias):
            torch.nn.init.zeros_(parameter)
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        for half in halves(net(x, STYLE)):
            assert torch.allclose(half, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("velocity", ["derivative", "network"])
def test_velocities_train(velocity):
    net = emulator(velocity=velocity).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x, style = torch.randn(3, 2, 8, 8), STYLE.float()
    target = torch.cat([x, 1.5 * x.roll(1, -1)], 1)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        losses.append(functional.mse_loss(halves(net(x, style))[1], halves(target)[1]))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


def test_the_gradient_through_the_derivative_is_that_of_finite_differences():
    net = emulator(activation="silu")
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)

    def loss():
        return halves(net(x, STYLE))[1].square().mean()

    loss().backward()
    weight = net.displacement.encode[0].convs[0].weight
    found = weight.grad[0, 0, 0, 0].item()
    values = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            weight[0, 0, 0, 0] += step
            values.append(loss().item())
    assert found == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_it_leaves_the_house_as_a_program():
    net = emulator().float().eval().requires_grad_(False)
    x, style = torch.randn(2, 2, 8, 8), STYLE[:2].float()
    program = torch.export.export(net, (x, style)).module()
    assert torch.allclose(program(x, style), net(x, style), atol=1e-6)


def test_two_networks_take_each_their_part():
    net = emulator(styles=1, channels=(4, 4), velocity="network")
    x, style = torch.randn(3, 4, 8, 8, dtype=torch.float64), STYLE[:, :1]
    before = net(x, style)
    x[:, 2:] += 1
    after = net(x, style)
    assert torch.equal(halves(before)[0], halves(after)[0]) and not torch.equal(halves(before)[1], halves(after)[1])
    assert emulator(velocity="network")(x[:, :2], STYLE).shape == (3, 4, 8, 8)


@pytest.mark.parametrize(
    "channels, styles, options, text",
    [
        ((2, 2), 2, {}, "2 channels from 2; expected twice as many$"),
        ((3, 4), 2, {"velocity": "network"}, "4 channels from 3; expected twice as many, or displacement and velocity"),
        ((2, 4), 1, {}, "1 styles; expected Omega_m and the growth factor D$"),
        ((2, 4), 3, {"velocity": "network"}, "3 styles; expected Omega_m and the growth factor D, or Omega_m alone"),
    ],
)
def test_what_it_cannot_be_built_for_is_refused(channels, styles, options, text):
    with pytest.raises(ConfigError, match=f"^model: {text}"):
        build("displacement_velocity", options, *channels, 2, styles=styles)
