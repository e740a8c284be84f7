"""The super-resolution generator: where its voxels lie, which noise it takes and from where, how it begins."""

import numpy as np
import pytest
import torch

from m2m_core.errors import ConfigError, RunError
from m2m_core.models import build, geometry_of
from m2m_core.models.geometry import Noise
from m2m_core.models.noise import normal

SMALL = {"width": 8, "narrowest": 2}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def generator(scale, dims=2):
    return build("stylegan2_generator", {**SMALL, "scale": scale}, 2, 2, dims).double()


def noises(net, edges, batch=1):
    return [torch.randn(batch, 1, *level.block((0,) * len(edges), edges)[1]).double() for level in net.geometry.noise]


@pytest.mark.parametrize("scale, halo", [(2, 2), (4, 3), (8, 3), (16, 3), (32, 3)])
def test_the_halo_is_the_least_that_the_layers_leave_room_for(scale, halo):
    geometry = geometry_of("stylegan2_generator", {"scale": scale})
    assert (geometry.halo, geometry.scale, geometry.factor) == (halo, scale, 1)
    net = generator(scale, 1)
    for h, enough in ((halo, True), (halo - 1, False)):
        left = (
            net.grown(torch.randn(1, 2, 1 + 2 * h).double(), noises(net, (1 + 2 * h,))).shape[2]
            if enough or h > 2
            else 0
        )
        assert (left >= scale) == enough


def test_the_noise_is_told_voxel_by_voxel():
    """Two for each doubling: on the grid before it, and after it between the convolutions, whose edge is lost."""
    assert geometry_of("stylegan2_generator", {"scale": 4}).noise == (
        Noise(1, 0),
        Noise(2, 2),
        Noise(2, 3),
        Noise(4, 8),
    )
    assert Noise(4, 8).block((5, -3), (8, 7)) == ((28, -4), (16, 12))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_ramp_stays_a_ramp_of_voxel_centres(scale, dims):
    """Without what the blocks add, output voxel i lies at input position (i + 1/2) / scale - 1/2."""
    net = generator(scale, dims)
    for block in net.blocks:
        torch.nn.init.zeros_(block.project.weight)
    h = net.geometry.halo
    ramp = torch.arange(-h, 3 + h, dtype=torch.float64)
    x = ramp.reshape(1, 1, -1, *[1] * (dims - 1)).expand(1, 2, -1, *[3 + 2 * h] * (dims - 1))
    with torch.no_grad():
        found = net(x, noises(net, x.shape[2:]))
    expected = (torch.arange(3 * scale, dtype=torch.float64) + 0.5) / scale - 0.5
    assert torch.allclose(found, expected.reshape(1, 1, -1, *[1] * (dims - 1)).expand(found.shape), rtol=0, atol=1e-12)


def test_it_begins_beside_the_interpolated_input():
    net = build("stylegan2_generator", {"scale": 4, "width": 32}, 1, 1, 3)
    x = torch.randn(2, 1, 8, 8, 8)
    with torch.no_grad():
        found = net.train()(x)
        for block in net.blocks:
            torch.nn.init.zeros_(block.project.weight)
        plain = net(x)
    assert plain.std() > 0.3 and 1e-4 < (found - plain).std() < 0.1 * plain.std()


def test_noise_has_no_strength_at_first_and_learns_it():
    net = generator(2)
    x = torch.randn(1, 2, 8, 8).double()
    one, other = (net(x, noises(net, (8, 8))) for _ in range(2))
    assert torch.equal(one, other)
    one.square().mean().backward()
    assert all(p.grad.any() for key, p in net.named_parameters() if key.endswith(("before", "between")))


def test_drawn_noise_is_a_function_of_the_seed_of_the_step():
    net = generator(2).train()
    for block in net.blocks:
        torch.nn.init.ones_(block.before)
    x, seen = torch.randn(1, 2, 8, 8).double(), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        seen.append(net(x))
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_prediction_draws_no_noise_by_itself_and_takes_no_other_shape():
    net, x = generator(2).eval(), torch.randn(2, 2, 8, 8).double()
    with pytest.raises(RunError, match="^noise: none given; expected 2 fields"):
        net(x)
    good = noises(net, (8, 8), 2)
    net(x, good)
    with pytest.raises(RunError, match=r"^noise: \(2, 1, 12, 12\) .* 0; expected \(2, 1, 8, 8\)$"):
        net(x, good[::-1])
    with pytest.raises(RunError, match="^noise: 1 fields given; expected 2 fields"):
        net(x, good[:1])


def test_what_grows_from_the_input_has_its_channels():
    with pytest.raises(ConfigError, match="^model: 3 channels from 2; expected as many"):
        build("stylegan2_generator", {}, 2, 3, 3)
    with pytest.raises(ConfigError, match="^model: fields with 4 axes; expected 1, 2 or 3$"):
        build("stylegan2_generator", {}, 2, 2, 4)


# ---- noise by position


def test_noise_is_normal_and_white():
    values = normal(5, 1, (0, 0, 0), (40, 41, 42)).astype("f8")
    n = values.size
    assert values.dtype == np.float64 and abs(values.mean()) < 4 / n**0.5 and abs(values.var() - 1) < 6 / n**0.5
    assert abs((values**4).mean() - 3) < 5 * (96 / n) ** 0.5
    for axis in range(3):
        assert abs((values * np.roll(values, 1, axis)).mean()) < 4 / n**0.5
    power = np.abs(np.fft.fftn(values)) ** 2 / n
    assert abs(power[1:20].mean() - 1) < 0.03 and power.max() < 3 * np.log(n)


def test_noise_is_the_same_wherever_it_is_asked_for():
    whole = normal(5, 1, (-3, 0), (20, 16))
    assert np.array_equal(normal(5, 1, (2, 4), (5, 6)), whole[5:10, 4:10])
    assert np.array_equal(normal(5, 1, (-3, 0), (20, 16)), whole)
    periodic = normal(5, 1, (-3, 0), (20, 32), (10, 16))
    assert np.array_equal(periodic[:10], periodic[10:]) and np.array_equal(periodic[:, :16], periodic[:, 16:])
    assert np.array_equal(periodic[3:13, :16], normal(5, 1, (0, 0), (10, 16)))


def test_other_seeds_and_fields_have_other_noise():
    fields = [normal(seed, field, (0,), (4000,)) for seed in (0, 1, 2**40) for field in (0, 1, 2)]
    for i, one in enumerate(fields):
        assert np.isfinite(one).all()
        assert all(abs((one * other).mean()) < 0.07 for other in fields[:i])


@pytest.mark.parametrize("std", [0.0, 0.5])
def test_noise_is_used_from_the_first_step_if_it_begins_with_any(std):
    """At zero a change of its strength changes the mean output by nothing: a short training does not find it."""
    net = build("stylegan2_generator", {**SMALL, "scale": 2, "noise": std}, 2, 2, 2).double()
    x = torch.randn(1, 2, 8, 8).double()
    with torch.no_grad():
        one, other = (net(x, noises(net, (8, 8))) for _ in range(2))
    assert torch.equal(one, other) == (std == 0)
    assert all((p == std).all() for block in net.blocks for p in (block.before, block.between))
