"""What a U-shaped network must do, whatever its blocks: paddings that agree, exact halos, a gentle start."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from m2m_core.crops import stitch, tiles
from m2m_core.errors import ConfigError
from m2m_core.models import build
from m2m_core.models._padding import Wrap

NAMES = ("unet", "vnet")
CASES = [  # name, depth, edges of a periodic box
    (name, depth, size)
    for name in NAMES
    for depth, size in [(1, (6, 10)), (2, (8, 12)), (3, (16, 8)), (1, (4, 6, 2)), (2, (8, 4, 12)), (2, (16,))]
]
EXACT = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def network(name, dims, *, like=None, channels=(2, 2), padding="valid", **options):
    """A network whose correction is as large as its input, so that nothing hides behind the bypass."""
    net = build(name, {"width": 4, **options}, *channels, dims, padding).double().eval()
    if like is not None:
        net.load_state_dict(like.state_dict())
        return net
    with torch.no_grad():
        for parameter in net.decode[0].parameters():
            parameter *= 100 if parameter.ndim > 1 else 1
        for parameter in net.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return net


def wrapped(x, start, size):
    """The block of a periodic field (B, C, *n) that begins at `start`."""
    for axis, (first, edge) in enumerate(zip(start, size, strict=True), start=2):
        x = x.index_select(axis, torch.arange(first, first + edge) % x.shape[axis])
    return x


def tiled(net, x, edge):
    """The prediction for a periodic box, tile by tile with halo, by a network of valid padding."""
    out, h = np.zeros(x.shape[1:]), net.geometry.halo
    for tile in tiles(x.shape[2:], edge):
        block = wrapped(x, [a - h for a in tile.start], net.geometry.reads(tile.shape, False))
        stitch(out, tile, net(block)[0].numpy())
    return torch.from_numpy(out)[None]


# ---- one set of weights for all paddings


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(("name", "depth", "size"), CASES)
def test_a_periodic_box_alone_and_with_its_halo_give_the_same(name, depth, size, dtype):
    whole = network(name, len(size), depth=depth, padding="periodic")
    valid = network(name, len(size), depth=depth, like=whole)
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    h = valid.geometry.halo
    with torch.no_grad():
        expected = whole.to(dtype)(x.to(dtype))
        found = valid.to(dtype)(wrapped(x, [-h] * len(size), [n + 2 * h for n in size]).to(dtype))
    assert found.shape == expected.shape == x.shape
    assert (expected - x).std() > 0.1
    assert (found - expected).abs().max() < EXACT[dtype] * expected.abs().max()


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize(("name", "depth", "size"), [c for c in CASES if c[1] < 3 and len(c[2]) > 1])
def test_tiles_and_the_whole_give_the_same(name, depth, size, normalization):
    options = {"depth": depth, "normalization": normalization}
    whole = network(name, len(size), padding="periodic", **options)
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    with torch.no_grad():
        whole.train()(x)  # statistics of the batch, if there are any, are kept
        whole.eval()
        valid = network(name, len(size), like=whole, **options)
        for edge in {2**depth, [2**depth * max(1, n // 2**depth - 1) for n in size][0]}:
            if edge <= min(size):
                assert torch.allclose(tiled(valid, x, edge), whole(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_zero_padding_changes_only_what_is_near_the_border(name):
    zero = network(name, 2, depth=1, padding="zero")
    valid = network(name, 2, depth=1, like=zero)
    x = torch.randn(1, 2, 40, 40, dtype=torch.float64)
    h = valid.geometry.halo
    with torch.no_grad():
        inside, all_of_it = valid(x), zero(x)
    assert all_of_it.shape == x.shape and zero.geometry.halo == 0
    assert torch.allclose(all_of_it[:, :, h:-h, h:-h], inside, rtol=0, atol=1e-10)
    assert not torch.allclose(all_of_it[:, :, h - 1, h:-h], valid(functional.pad(x, (h,) * 4))[:, :, h - 1, h:-h])


@pytest.mark.parametrize(("name", "depth", "size"), [c for c in CASES if c[1] < 3])
def test_translations_by_the_factor_commute_with_a_periodic_network(name, depth, size):
    net = network(name, len(size), depth=depth, padding="periodic")
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    axes = tuple(range(2, x.ndim))
    with torch.no_grad():
        for shift, same in ((2**depth, True), (1, False)):
            left = net(torch.roll(x, [shift] * len(axes), axes))
            right = torch.roll(net(x), [shift] * len(axes), axes)
            assert torch.allclose(left, right, rtol=0, atol=1e-10) == same


# ---- the halo is what the network reads, no more and no less


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("depth", "dims"), [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (1, 3)])
def test_the_gradient_reaches_to_the_edge_of_the_halo(name, depth, dims):
    net = network(name, dims, depth=depth)
    edge = 2**depth + 2 * net.geometry.halo
    x = torch.randn(1, 2, *[edge] * dims, dtype=torch.float64, requires_grad=True)
    y = net(x)
    assert y.shape[2:] == (2**depth,) * dims
    y.sum().backward()
    read = (x.grad != 0).any(dim=1)[0]
    for axis in range(dims):
        assert read.select(axis, 0).any() and read.select(axis, -1).any()


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_outside_the_halo_does_not_matter(name):
    net = network(name, 2, depth=2)
    h = net.geometry.halo
    x = torch.randn(1, 2, 60 + 2 * h, 8 + 2 * h, dtype=torch.float64)
    other = x.clone()
    other[:, :, 40 + 2 * h :] += 1
    with torch.no_grad():
        before, after = net(x), net(other)
    assert torch.equal(before[:, :, :40], after[:, :, :40])
    assert not torch.equal(before[:, :, 40:44], after[:, :, 40:44])


# ---- training


@pytest.mark.parametrize(("name", "dims", "normalization"), list(itertools.product(NAMES, (2, 3), ("none", "batch"))))
def test_every_parameter_learns_from_the_first_step(name, dims, normalization):
    net = build(name, {"width": 4, "normalization": normalization}, 2, 3, dims, "periodic")
    net(torch.randn(2, 2, *[8] * dims)).square().sum().backward()
    lame = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    if normalization == "batch":  # a constant before the mean is taken away: it is idle by construction
        lame = [key for key in lame if not key.endswith("bias")]
    assert not lame


@pytest.mark.parametrize("name", NAMES)
def test_training_begins_beside_the_input(name):
    x = torch.randn(2, 3, 16, 16, 16)
    with torch.no_grad():
        correction = build(name, {"padding": "periodic"}, 3, 3, 3)(x) - x
        bare = build(name, {"padding": "periodic", "bypass": False}, 3, 3, 3)(x)
        other = build(name, {"padding": "periodic"}, 3, 1, 3)(x)
    for small in (correction, bare, other):
        assert 1e-3 < small.std() < 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_without_normalisation_fields_neither_fade_nor_explode(name, depth):
    seen = []
    net = build(name, {"width": 16, "depth": depth, "padding": "periodic"}, 2, 2, 2)
    net.decode[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].square().mean()))
    net(torch.randn(4, 2, 32, 32))
    assert 0.2 < seen[0] < 20


@pytest.mark.parametrize("name", NAMES)
def test_a_network_learns_to_smooth(name):
    net = build(name, {"width": 8, "depth": 1, "padding": "periodic"}, 1, 1, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x = torch.randn(8, 1, 16, 16)
    y = sum(torch.roll(x, shift, axis) for axis in (2, 3) for shift in (-1, 1)) / 4
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_are_a_function_of_the_seed(name):
    def state(seed):
        torch.manual_seed(seed)
        return build(name, {}, 3, 3, 3).state_dict()

    one, same, other = state(3), state(3), state(4)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one if key.endswith("weight"))


@pytest.mark.parametrize(("name", "padding"), list(itertools.product(NAMES, ("valid", "periodic", "zero"))))
def test_a_state_restores_the_network(name, padding):
    net = network(name, 2, depth=2, padding=padding, normalization="batch", growth=2)
    torch.manual_seed(2)
    other = network(name, 2, depth=2, padding=padding, normalization="batch", growth=2, like=net)
    x = torch.randn(1, 2, 48, 48, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(net(x), other(x))


# ---- doors


@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_do_not_fit_are_refused_with_the_sizes_that_do(name):
    with pytest.raises(
        ConfigError, match=r"input of \(42, 44\); edges are multiples of 4 plus a halo of 20 .*, nearest 44"
    ):
        build(name, {}, 1, 1, 2)(torch.zeros(1, 1, 42, 44))
    with pytest.raises(ConfigError, match=r"input of \(2, 4\); edges are multiples of 4, nearest 4$"):
        build(name, {"padding": "periodic"}, 1, 1, 2)(torch.zeros(1, 1, 2, 4))
    with pytest.raises(ConfigError, match="fields with 4 axes; expected 1, 2 or 3"):
        build(name, {}, 1, 1, 4)
    with pytest.raises(ConfigError, match="model.depth: 7; at most 6"):
        build(name, {"depth": 7}, 1, 1, 2)


# ---- circular padding


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 1, 1), (2, 3, 1, 2), (1, 2, 4, 3), (1, 2, 3, 1, 4)])
def test_wrap_is_circular_padding_with_exact_derivatives(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    sides = (1,) * (2 * (len(shape) - 2))
    assert torch.equal(Wrap.apply(x), functional.pad(x, sides, mode="circular"))
    assert torch.autograd.gradcheck(Wrap.apply, x)
    assert torch.autograd.gradgradcheck(Wrap.apply, x)


def test_wrap_keeps_the_channels_where_they_are():
    x = torch.randn(1, 4, 3, 3, 3).to(memory_format=torch.channels_last_3d)
    assert Wrap.apply(x).is_contiguous(memory_format=torch.channels_last_3d)
    assert Wrap.apply(x.contiguous()).is_contiguous()


# ---- the published field emulators


def published(key, name):
    """The name of one of our parameters in the published states."""
    names = {r"^encode\.": "conv_l", r"^decode\.": "conv_r", r"^centre": "conv_c"}
    for ours, theirs in names.items():
        key = re.sub(ours, theirs, key)
    if name == "unet":
        key = re.sub(r"^(conv_\w+)", r"\1.convs", key)
    return re.sub(r"^(down|up)\.(\d)", lambda m: f"{m[1]}_{'l' if m[1] == 'down' else 'r'}{m[2]}.convs", key)


def waves(key, shape, order):
    """Weights that are a formula, as the reference outputs were made with."""
    x = 0.37 * np.arange(math.prod(shape)) + order
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape)
    if key.endswith("running_var"):
        return (1 + 0.5 * np.sin(x)).reshape(shape)
    if len(shape) == 1 and key.endswith("weight"):
        return (1 + 0.1 * np.sin(x)).reshape(shape)
    fan = math.prod(shape[1:]) if len(shape) > 1 else 4
    return (np.sin((x * x) % 7 + x) / math.sqrt(fan)).reshape(shape)


@pytest.mark.parametrize(
    ("name", "parameters", "values"),
    [
        ("unet", 1_808_003, [-1.4834197, 0.7330101, -0.32312006, -0.06742257]),
        ("vnet", 1_825_222, [-0.94069517, 1.0609131, 1.1725185, 1.380814]),
    ],
)
def test_with_their_options_the_networks_are_the_published_ones(name, parameters, values):
    """Parameters and outputs of the networks of Jamieson et al. 2022 (arXiv:2206.04573), voxels 0, 50, 100, 191."""
    net = build(name, {"width": 64, "growth": 1, "normalization": "batch"}, 3, 3, 3).eval()
    state = net.state_dict()
    for order, key in enumerate(sorted(state, key=lambda key: published(key, name))):
        value = waves(published(key, name), tuple(state[key].shape), order)
        state[key] = torch.as_tensor(value, dtype=state[key].dtype)
    net.load_state_dict(state)
    x = np.arange(3 * 44**3)
    field = torch.as_tensor(np.sin(0.11 * x) + 0.5 * np.cos(0.031 * x), dtype=torch.float32).reshape(1, 3, 44, 44, 44)
    with torch.no_grad():
        found = net(field).ravel()[[0, 50, 100, 191]]
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert torch.allclose(found, torch.tensor(values), rtol=1e-5, atol=1e-6)
