"""The contract of every loss of labels, known answers, and which labels each is for."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from m2m_core import losses, registry
from m2m_core.errors import ConfigError
from m2m_core.metrics import judging

torch.set_num_threads(1)
LOSSES = sorted(registry.entries("label_loss"))
FITS = {name: registry.load("label_fit", name)() for name in LOSSES}
B = 6


def batch(name, dtype=torch.float32):
    """Outputs and labels as the task makes them."""
    random = torch.Generator().manual_seed(1)
    kind = FITS[name].kind
    outputs = torch.randn(B, {"binary": 1, "classes": 4, "regression": 4}[kind], generator=random)
    if kind == "binary":
        return outputs, torch.tensor([0.0, 1.0] * 3)[:, None].to(dtype)
    if kind == "classes":
        return outputs, functional.one_hot(torch.arange(B) % 4, 4).to(dtype)
    return outputs, torch.randn(B, 2, generator=random).to(dtype)


def computed(name, outputs, labels, **options):
    return losses.build({"name": name, **registry.check("label_loss", name, options)}, "label_loss")(outputs, labels)[
        "loss"
    ]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_says_what_it_is_for_and_is_one_number_with_a_gradient(name):
    outputs, labels = batch(name)
    outputs.requires_grad_()
    value = computed(name, outputs, labels)
    value.backward()
    assert value.shape == () and value.dtype == torch.float32 and bool(value.isfinite())
    assert bool(outputs.grad.isfinite().all()) and bool((outputs.grad != 0).any())


@pytest.mark.parametrize("name", LOSSES)
def test_labels_in_another_precision_mean_the_same(name):
    outputs, labels = batch(name)
    exact = computed(name, outputs.double(), labels.double())
    torch.testing.assert_close(computed(name, outputs, labels).double(), exact, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        computed(name, outputs.bfloat16(), labels), computed(name, outputs.bfloat16().float(), labels)
    )


@pytest.mark.parametrize("name", [n for n in LOSSES if not FITS[n].whole])
def test_a_batch_is_the_mean_of_its_parts(name):
    outputs, labels = batch(name)
    parts = [computed(name, outputs[p], labels[p]) * n / B for p, n in ((slice(0, 1), 1), (slice(1, 6), 5))]
    torch.testing.assert_close(sum(parts), computed(name, outputs, labels))


@pytest.mark.parametrize("name", LOSSES)
def test_other_shapes_never_broadcast(name):
    outputs, labels = batch(name)
    with pytest.raises(ValueError, match="loss: outputs"):
        computed(name, outputs[:, :1].expand(B, 3), labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothing_is_the_same_for_both_answers(smoothing):
    outputs = torch.tensor([[0.7], [-0.7]])
    both = [
        computed("binary_cross_entropy", outputs[[n]], torch.tensor([[1.0 - n]]), smoothing=smoothing) for n in (0, 1)
    ]
    assert both[0].item() == pytest.approx(both[1].item())
    p, t = 1 / (1 + math.exp(-0.7)), 1 - smoothing / 2
    assert both[0].item() == pytest.approx(-t * math.log(p) - (1 - t) * math.log(1 - p), rel=1e-6)


def minimum(name, truth, steps=2000):
    """Mean and variance for which a loss of many draws is least."""
    outputs = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.Adam([outputs], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        computed(name, outputs.expand(len(truth), 2), truth[:, None]).backward()
        optimizer.step()
    return outputs[0, 0].item(), outputs[0, 1].exp().item()


@pytest.mark.parametrize("name", [n for n in LOSSES if FITS[n].kind == "regression"])
def test_it_is_least_at_mean_and_variance_of_the_posterior(name):
    truth = torch.randn(500, generator=torch.Generator().manual_seed(2)) * 0.6 + 0.8
    mean, variance = minimum(name, truth, 600)
    assert mean == pytest.approx(truth.mean().item(), abs=0.03)
    assert variance == pytest.approx(truth.var(correction=0).item(), rel=0.05)


@pytest.mark.parametrize("name", [n for n in LOSSES if FITS[n].kind == "regression"])
def test_a_network_learns_the_mean_and_the_variance_of_each_answer(name):
    """y is normal about x with a standard deviation of 0.2 + 0.4 |x|: what is told of fresh x covers the truth."""
    random = torch.Generator().manual_seed(3)
    torch.manual_seed(3)

    def drawn(count):
        x, noise = 2 * torch.rand(count, 1, generator=random) - 1, torch.randn(count, 1, generator=random)
        return x, x + (0.2 + 0.4 * x.abs()) * noise

    network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    x, y = drawn(3000)
    for _ in range(300):
        optimizer.zero_grad()
        computed(name, network(x), y).backward()
        optimizer.step()
    x, y = drawn(20_000)
    mean, variance = network(x).detach().double().T.numpy()
    variance = np.exp(variance)
    found = judging.recovery(y[:, 0].double().numpy(), mean, variance)
    assert found["chi2"] == pytest.approx(1, abs=0.1) and found["coverage_1"] == pytest.approx(0.683, abs=0.05)
    near, far = (x[:, 0].abs() < 0.1).numpy(), (x[:, 0].abs() > 0.9).numpy()
    assert variance[near].mean() == pytest.approx(0.22**2, abs=0.05)
    assert variance[far].mean() == pytest.approx(0.58**2, rel=0.15)


def test_the_loss_of_camels_is_that_of_camels():
    outputs, labels = batch("log_moments")
    mean, square = outputs[:, :2], outputs[:, 2:].exp()
    left = (labels - mean) ** 2
    expected = (torch.log(left.sum(0)) + torch.log(((left - square) ** 2).sum(0))).mean()
    torch.testing.assert_close(computed("log_moments", outputs, labels), expected)


def test_losses_for_other_labels_are_refused_with_those_that_fit():
    with pytest.raises(
        ConfigError, match="^loss: 'moments' is for task.answer regression, not binary; expected binary_"
    ):
        losses.check_labels({"name": "moments"}, "binary")
    with pytest.raises(ConfigError, match="'log_moments' needs the whole batch at once, here in 2 parts"):
        losses.check_labels({"name": "log_moments"}, "regression", 2)
    losses.check_labels({"name": "log_moments"}, "regression", 1)
