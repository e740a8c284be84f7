"""The contract of every network of the registry: sizes told before, batches, tiles, axes, gradients, states."""

import itertools

import pytest
import torch

from m2m_core import models, registry
from m2m_core.errors import ConfigError
from m2m_core.models import noise

SMALL = {"width": 4, "narrowest": 2, "depth": 1, "blocks": 2, "scale": 4}
CHANNELS = {"displacement_velocity": (2, 4)}
MODELS = list(itertools.product(registry.entries("model"), (1, 2, 3)))
DISCRIMINATORS = list(itertools.product(registry.entries("discriminator"), (1, 2, 3)))
BATCH = 3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def options(kind, name):
    return {key: value for key, value in SMALL.items() if key in registry.find(kind, name).options}


def network(name, dims):
    """A network in float64, all of whose parameters have a say."""
    styles = 2 * models.is_styled(name)
    net = models.build(name, options("model", name), *CHANNELS.get(name, (2, 2)), dims, styles=styles).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return net


def judge(name, dims):
    return models.build_discriminator(name, options("discriminator", name), 2, dims).double()


def given(net, name, x, start, seed=0):
    """What a network takes beside a field that begins at voxel `start` of a sample."""
    edges = x.shape[2:]
    if models.is_styled(name):
        return (torch.tensor([[0.3, 0.5], [0.2, 0.9], [0.4, 1.0]], dtype=x.dtype)[: len(x)],)
    fields = [level.block(start, edges) for level in net.geometry.noise]
    drawn = [[noise.normal(seed + b, j, *field) for b in range(len(x))] for j, field in enumerate(fields)]
    return ([torch.stack([torch.as_tensor(f, dtype=x.dtype)[None] for f in d]) for d in drawn],) if drawn else ()


def part(arguments, which):
    """The same for one example of the batch."""
    return [[n[which] for n in a] if isinstance(a, list) else a[which] for a in arguments]


@pytest.mark.parametrize(("name", "dims"), MODELS)
def test_the_output_has_the_size_that_the_geometry_says(name, dims):
    net = network(name, dims)
    geometry = models.geometry_of(name, options("model", name))
    assert net.geometry == geometry
    edges = [geometry.factor * (2 + axis) for axis in range(dims)]
    x = torch.randn(BATCH, 2, *geometry.reads(edges, False), dtype=torch.float64)
    with torch.no_grad():
        y = net(x, *given(net, name, x, (0,) * dims))
    assert y.shape == (BATCH, CHANNELS.get(name, (2, 2))[1], *geometry.writes(edges))
    assert tuple(y.shape[2:]) == geometry.core(x.shape[2:])


@pytest.mark.parametrize(("name", "dims"), MODELS)
def test_each_example_of_a_batch_is_predicted_as_if_alone(name, dims):
    net = network(name, dims).eval()
    edges = net.geometry.reads((net.geometry.factor,) * dims, False)
    x = torch.randn(BATCH, 2, *edges, dtype=torch.float64)
    beside = given(net, name, x, (0,) * dims)
    with torch.no_grad():
        together = net(x, *beside)
        alone = [net(x[b : b + 1], *part(beside, slice(b, b + 1))) for b in range(BATCH)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-10)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "dims"), MODELS)
def test_a_tile_is_the_same_part_of_the_whole(name, dims):
    """By halo and noise as the geometry says; the noise is a function of the voxel's place in the sample."""
    net = network(name, dims).eval()
    g, n = net.geometry, 2 * net.geometry.factor
    x = torch.randn(1, 2, *g.reads((2 * n, *[n] * (dims - 1)), False), dtype=torch.float64)
    first = torch.tensor([7 - g.halo] * dims)
    tile = x[:, :, n:]
    with torch.no_grad():
        whole = net(x, *given(net, name, x, first.tolist()))
        found = net(tile, *given(net, name, tile, (first + torch.tensor([n] + [0] * (dims - 1))).tolist()))
    assert torch.allclose(found, whole[:, :, n * g.scale :], rtol=0, atol=1e-10)


def untouchable(net):
    """The network, none of whose layers may run."""

    def touched(*_):
        raise AssertionError("a layer ran")

    for layer in net.modules():
        if layer is not net and not list(layer.children()):
            layer.register_forward_pre_hook(touched)
    return net


@pytest.mark.parametrize(("name", "dims"), MODELS)
def test_sizes_that_do_not_fit_are_refused_before_anything_is_computed(name, dims):
    net = untouchable(network(name, dims))
    g = net.geometry
    styles = (torch.zeros(1, 2, dtype=torch.float64),) if models.is_styled(name) else ()
    wrong = [2 * g.halo, 2 * g.halo - 1, *([2 * g.halo + g.factor + 1] if g.factor > 1 else [])]
    for edge in filter(None, (max(0, w) for w in wrong)):
        with pytest.raises(ConfigError, match=rf"an input of \({edge},.*nearest {g.factor + 2 * g.halo}") as caught:
            net(torch.zeros(1, 2, *[edge] * dims, dtype=torch.float64), *styles)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", registry.entries("model"))
def test_styles_are_given_to_models_that_take_them_and_to_no_others(name):
    known = [other for other in registry.entries("model") if models.is_styled(other) != models.is_styled(name)]
    text = "needs styles, but there are none" if models.is_styled(name) else "takes no styles, but there are some"
    with pytest.raises(ConfigError, match=f"^model.name: '{name}' {text}; expected one of {', '.join(known)}$"):
        models.build(name, options("model", name), 2, 2, 2, styles=0 if models.is_styled(name) else 1)


@pytest.mark.parametrize("name", registry.entries("model"))
def test_every_parameter_of_a_model_learns(name):
    styles = 2 * models.is_styled(name)
    net = models.build(name, options("model", name), *CHANNELS.get(name, (2, 2)), 2, styles=styles)
    x = torch.randn(BATCH, 2, *net.geometry.reads((4, 4), False))
    beside = given(net, name, x, (0, 0))
    (net(x, *beside) - torch.randn(1)).square().mean().backward()
    assert [key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", registry.entries("model"))
def test_in_half_precision_the_numbers_stay_near(name):
    net = network(name, 2).float().eval()
    x = torch.randn(BATCH, 2, *net.geometry.reads((4, 4), False))
    beside = given(net, name, x, (0, 0))
    with torch.no_grad():
        exact = net(x, *beside)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x, *beside).float()
    assert half.isfinite().all() and (half - exact).std() < 0.1 * exact.std()


# ---- discriminators


@pytest.mark.parametrize(("name", "dims"), DISCRIMINATORS)
def test_a_discriminator_judges_the_patches_that_it_says(name, dims):
    net = judge(name, dims).eval()
    patches = models.patches_of(name, options("discriminator", name))
    edges = [patches.least + 2 * axis + (dims < 3) * 9 for axis in range(dims)]
    x = torch.randn(BATCH, 2, *edges, dtype=torch.float64, requires_grad=True)
    y = net(x)
    assert y.shape == (BATCH, 1, *patches.core(edges)) and net.patches == patches
    with torch.no_grad():
        alone = torch.cat([net(x[b : b + 1]) for b in range(BATCH)])
    assert torch.allclose(y, alone, rtol=0, atol=1e-10)
    y[(0, 0, *[0] * dims)].backward()
    read = (x.grad[0] != 0).any(dim=0).nonzero()
    assert read.min() == 0 and (read.max(dim=0).values == patches.least - 1).all()
    assert not x.grad[1:].any()


@pytest.mark.parametrize(("name", "dims"), DISCRIMINATORS)
def test_fields_that_are_smaller_than_a_patch_are_refused_before_anything_is_computed(name, dims):
    net = untouchable(judge(name, dims))
    least = net.patches.least
    with pytest.raises(ConfigError, match=rf"a field of .*{least - 1}.*; edges are at least {least}$"):
        net(torch.zeros(1, 2, *[least + 9] * (dims - 1), least - 1, dtype=torch.float64))


@pytest.mark.parametrize("name", registry.entries("discriminator"))
def test_a_penalty_on_the_gradient_of_a_discriminator_has_a_gradient(name):
    net = judge(name, 2)
    x = torch.randn(BATCH, 2, *[net.patches.least + 3] * 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    weights = [(key, p.grad) for key, p in net.named_parameters() if p.ndim > 1]
    assert [key for key, gradient in weights if gradient is None or not gradient.any()] == []


@pytest.mark.parametrize("name", registry.entries("discriminator"))
def test_spectral_norm_keeps_every_layer_from_stretching(name):
    net = models.build_discriminator(name, {**options("discriminator", name), "spectral_norm": True}, 2, 2).train()
    x = torch.randn(BATCH, 2, *[net.patches.least + 20] * 2)
    for _ in range(30):
        net(x)
    layers = [layer for layer in net.modules() if hasattr(layer, "weight_orig")]
    assert len(layers) >= 4
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.02)
    other = models.build_discriminator(name, {**options("discriminator", name), "spectral_norm": True}, 2, 2)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net.eval()(x), other.eval()(x))
