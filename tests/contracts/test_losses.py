"""The contract every loss keeps. A new file in m2m_core/losses is tested here without a line more.

Several processes weigh the parts of a batch, so the loss of a batch is the mean over its examples for every loss.
"""

import pickle

import pytest
import torch

from m2m_core import losses, registry
from tests.losses.frames import computed, frame_of, part_of, random

torch.set_num_threads(1)
LOSSES = sorted(registry.entries("loss"))
TINY = torch.finfo(torch.float32).tiny
LEAST = {"lagrangian_eulerian": 4 * torch.tensor(TINY).log().item()}  # where the prediction is the target, if not 0
ELSEWHERE = {
    "bce_with_logits",
    "cross_entropy",
    "hinge_embedding",
    "kl_div",
    "poisson_nll",
    "soft_margin",
    "wasserstein",
}
CHANCES = {"bce"}  # takes probabilities alone
MOVING = (("displacement", 3), ("vector", 3))
B, SPACE = 4, (6, 6, 6)


def fields(name):
    """A prediction and a target (B, 6, 6, 6, 6): standard normal, or probabilities and labels."""
    x, t = random(B, 6, *SPACE), random(B, 6, *SPACE, seed=1)
    return (x.sigmoid(), (t > 0).float()) if name in CHANCES or name in ELSEWHERE | {"dice"} else (x, t)


@pytest.fixture(params=LOSSES)
def name(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["whole", "crop"])
def frame(request):
    spread = torch.linspace(2.0, 7.0, B)[:, None].expand(B, 6)  # as the growth of structure has it
    return frame_of(random(B, 6, *SPACE), MOVING, periodic=request.param, shift=0.1, spread=spread)


def test_it_is_one_number_with_a_finite_gradient(name, frame):
    x, t = fields(name)
    x.requires_grad_()
    value = computed(name, x, t, frame)
    value.backward()
    assert value.shape == () and value.dtype == torch.float32
    assert bool(value.isfinite()) and bool(x.grad.isfinite().all()) and bool((x.grad != 0).any())


def test_it_is_least_where_nothing_differs(name, frame):
    if name in ELSEWHERE:
        pytest.skip("of a prediction that is no estimate of the target itself")
    x, t = fields(name)
    same = t.clone().requires_grad_()
    value = computed(name, same, t, frame)
    value.backward()
    assert value.item() == pytest.approx(LEAST.get(name, 0.0), abs=1e-6)
    assert bool(same.grad.isfinite().all()) and value.item() < computed(name, x, t, frame).item()


def test_a_step_down_the_gradient_makes_it_smaller(name, frame):
    x, t = fields(name)
    x.requires_grad_()
    before = computed(name, x, t, frame)
    (slope,) = torch.autograd.grad(before, x)
    after = computed(name, x - 1e-3 * slope / slope.square().mean().sqrt(), t, frame)
    assert after.item() < before.item()


@pytest.mark.parametrize("sizes", [(2, 2), (1, 1, 1, 1), (3, 1)])
def test_a_batch_is_the_mean_of_its_parts(name, frame, sizes):
    x, t = fields(name)
    ends = torch.tensor((0, *sizes)).cumsum(0).tolist()
    parts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    values = [computed(name, x[p], t[p], part_of(frame, p)) * (p.stop - p.start) / B for p in parts]
    torch.testing.assert_close(sum(values), computed(name, x, t, frame), rtol=2e-5, atol=1e-6)


def test_different_shapes_never_broadcast(name, frame):
    x, t = fields(name)
    for other in (x[:, :, :1], x[:1], x[:, :, :-1]):
        with pytest.raises(ValueError, match=r"loss: prediction \(.*\) and target \(4, 6, 6, 6, 6\); expected equal"):
            computed(name, other, t, frame)


def test_half_precision_is_compared_in_the_precision_of_the_target(name, frame):
    x, t = fields(name)
    half = x.bfloat16()
    torch.testing.assert_close(computed(name, half, t, frame), computed(name, half.float(), t, frame), equal_nan=True)


def test_it_repeats_and_survives_being_sent_to_another_process(name, frame):
    x, t = fields(name)
    loss = losses.build({"name": name, **registry.check("loss", name, {})})
    twin = pickle.loads(pickle.dumps(loss))
    assert torch.equal(loss(x, t, frame)["loss"], twin(x, t, frame)["loss"])


def test_a_prediction_that_is_not_finite_is_not_hidden(name, frame):
    x, t = fields(name)
    x[1, 0, 2, 2, 2] = torch.nan
    x[1, 4, 2, 2, 2] = torch.nan
    assert not bool(computed(name, x, t, frame).isfinite())
