"""Losses voxel by voxel, against their definitions and against torch.nn's."""

import math

import pytest
import torch
from torch import nn

from m2m_core import registry
from m2m_core.errors import ConfigError
from tests.losses.frames import computed, random

PREDICTION, TARGET = torch.tensor([[0.0, 1.0, -3.0, 2.0]]), torch.tensor([[0.0, 0.5, 0.0, 4.0]])


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("mse", {}, (0.25 + 9 + 4) / 4),
        ("mae", {}, (0.5 + 3 + 2) / 4),
        ("huber", {"delta": 1.0}, (0.125 + 2.5 + 1.5) / 4),
        ("huber", {"delta": 10.0}, (0.125 + 4.5 + 2) / 4),
        ("smooth_l1", {"beta": 2.0}, (0.0625 + 2 + 1) / 4),
        ("wasserstein", {}, -(0 * -1 + 1 * 0 - 3 * -1 + 2 * 7) / 4),
    ],
)
def test_values(name, options, value):
    assert computed(name, PREDICTION, TARGET, **options).item() == pytest.approx(value)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "smooth_l1"])
def test_a_loss_is_zero_only_where_nothing_differs_and_has_a_gradient(name):
    assert computed(name, TARGET, TARGET) == 0
    x = PREDICTION.clone().requires_grad_()
    computed(name, x, TARGET).backward()
    assert torch.equal(torch.sign(x.grad), torch.sign(PREDICTION - TARGET))


CHANCES, MASK = random(2, 3, 4, 5).sigmoid(), (random(2, 3, 4, 5, seed=1) > 0).float()
TORCH = [
    ("mse", {}, nn.MSELoss(), 0, 0),
    ("mae", {}, nn.L1Loss(), 0, 0),
    ("huber", {"delta": 0.5}, nn.HuberLoss(delta=0.5), 0, 0),
    ("smooth_l1", {"beta": 0.5}, nn.SmoothL1Loss(beta=0.5), 0, 0),
    ("bce", {}, nn.BCELoss(), "chance", "mask"),
    ("bce", {}, nn.BCELoss(), "mask", "mask"),
    ("bce_with_logits", {}, nn.BCEWithLogitsLoss(), 0, "mask"),
    ("bce_with_logits", {"positive": 3.0}, nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), 0, "mask"),
    ("cross_entropy", {"label_smoothing": 0.1}, nn.CrossEntropyLoss(label_smoothing=0.1), 0, "classes"),
    ("kl_div", {}, nn.KLDivLoss(), "log", "chance"),
    ("kl_div", {"log_target": True}, nn.KLDivLoss(log_target=True), "log", "log"),
    ("poisson_nll", {}, nn.PoissonNLLLoss(), 0, "mask"),
    ("poisson_nll", {"log_input": False, "full": True}, nn.PoissonNLLLoss(False, True), "chance", "mask"),
    ("soft_margin", {}, nn.SoftMarginLoss(), 0, "sign"),
    ("hinge_embedding", {"margin": 0.5}, nn.HingeEmbeddingLoss(margin=0.5), 0, "sign"),
]


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "options", "reference", "prediction", "target"), TORCH, ids=lambda v: str(v)[:20])
def test_they_are_those_of_torch(name, options, reference, prediction, target):
    fields = {"chance": CHANCES, "mask": MASK, "log": CHANCES.log(), "sign": 2 * MASK - 1}
    fields["classes"] = CHANCES.softmax(1)
    x, t = (fields.get(kind, random(2, 3, 4, 5, seed=seed)) for kind, seed in ((prediction, 5), (target, 6)))
    torch.testing.assert_close(computed(name, x, t, **options), reference(x, t))


def test_what_is_no_probability_is_no_number_and_no_crash():
    assert computed("bce", PREDICTION, (TARGET > 0).float()).isnan()


def test_dice_of_each_channel():
    mask = torch.zeros(1, 2, 4)
    mask[0, 0, :2] = 1.0
    guess = torch.zeros(1, 2, 4)
    guess[0, 0, 1:3] = 1.0
    assert computed("dice", guess, mask).item() == pytest.approx((0.5 + 0.0) / 2, abs=1e-4)  # two empty masks agree
    assert computed("dice", mask, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert computed("dice", 40 * mask - 20, mask, sigmoid=True).item() == pytest.approx(0.0, abs=1e-4)
    assert computed("dice", 1 - mask[:, :1], mask[:, :1]).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_half_precision_predictions_are_compared_in_the_precision_of_the_target(name):
    loss = computed(name, PREDICTION.bfloat16(), TARGET)
    assert loss.dtype == torch.float32 and loss.ndim == 0


def test_options_are_checked():
    with pytest.raises(ConfigError, match="loss.delta"):
        registry.check("loss", "huber", {"delta": 0.0})
    assert math.isfinite(computed("huber", PREDICTION, TARGET, delta=1e-3))
