"""Pointwise losses against their definitions."""

import pytest
import torch

from m2m_core import registry
from m2m_core.errors import ConfigError
from m2m_core.losses import build

PREDICTION, TARGET = torch.tensor([[0.0, 1.0, -3.0, 2.0]]), torch.tensor([[0.0, 0.5, 0.0, 4.0]])


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("mse", {}, (0.25 + 9 + 4) / 4),
        ("mae", {}, (0.5 + 3 + 2) / 4),
        ("huber", {"delta": 1.0}, (0.125 + 2.5 + 1.5) / 4),
        ("huber", {"delta": 10.0}, (0.125 + 4.5 + 2) / 4),
    ],
)
def test_values(name, options, value):
    assert build(name, registry.check("loss", name, options))(PREDICTION, TARGET).item() == pytest.approx(value)


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_a_loss_is_zero_only_where_nothing_differs_and_has_a_gradient(name):
    loss = build(name, {})
    assert loss(TARGET, TARGET) == 0
    x = PREDICTION.clone().requires_grad_()
    loss(x, TARGET).backward()
    assert torch.equal(torch.sign(x.grad), torch.sign(PREDICTION - TARGET))


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_half_precision_predictions_are_compared_in_the_precision_of_the_target(name):
    loss = build(name, {})(PREDICTION.bfloat16(), TARGET)
    assert loss.dtype == torch.float32 and loss.ndim == 0


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_shapes_never_broadcast(name):
    with pytest.raises(ValueError, match=r"\(1, 3\) and target \(1, 4\)"):
        build(name, {})(PREDICTION[:, :3], TARGET)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="loss.delta"):
        registry.check("loss", "huber", {"delta": 0.0})
