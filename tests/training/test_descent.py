"""Updates from several batches and in half precision: equal to what they stand for, and resumed to the bit."""

import numpy as np
import pytest
import torch
from torch import nn

from m2m_core.errors import ConfigError, Diverged, Stopped
from m2m_core.tasks import descent
from m2m_core.tasks.protocol import Descent, build
from m2m_core.training.batches import Batches
from m2m_core.training.order import Order
from tests.tasks.studies import experiment, fields, study
from tests.training.ranks import Line
from tests.training.toys import VALIDATION, Toy, column, same, stop_at, train, weights

torch.set_num_threads(1)


class Half(Toy):
    """A toy whose steps are made by a descent in half precision; at update `bad` the gradient is infinite."""

    def __init__(self, bad=(), clip=None, **options):
        super().__init__(**options)
        self.descent, self.bad, self.count = Descent(clip, half=True), bad, 0

    def step(self, batch):
        x, y = batch
        loss = nn.functional.mse_loss(self.modules["model"](x).float(), y) * 1e-3
        if self.descent.scale >= 2.0**16 and self.bad:
            loss = loss + (loss - loss.detach()) * 3e38  # finite, with a gradient that overflows when it is scaled
        return {"loss": loss.detach(), **self.descent(loss, self.optimizers["model"])}


# ---- several batches a step


def test_parts_of_an_update_are_those_of_one_large_batch():
    task = Toy(fit=11)
    whole, parts = (Batches(task, task.samples(), Order(11, 6, 3), accumulate=n) for n in (1, 3))
    for step in range(4):  # updates of 6 and of 5
        keys = parts.keys(step)
        assert [parts.count(key)[1] for key in keys] == ([2, 2, 2] if step % 2 == 0 else [2, 2, 1])
        together = [item for key in keys for item in parts.items(key)]
        expected = whole.items(("fit", step))
        assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(together, expected, strict=True))
        assert len(parts.whole(step)) == len(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_step_of_several_batches_is_that_of_one_as_large(tmp_path, workers):
    common = {"validation": VALIDATION, "ema": 0.9, "workers": workers}
    one = train(tmp_path / "one", Line(fit=11), batch_size=6, **common)
    several = train(tmp_path / "several", Line(fit=11), batch_size=2, accumulate=3, **common)
    assert one.step == several.step == 8
    for key, value in weights(one.task).items():
        torch.testing.assert_close(value, weights(several.task)[key], rtol=1e-12, atol=1e-14)
    for name in ("step", "loss", "gradient", "validation"):
        numbers = [[float(value) for value in column(tmp_path / where, name)] for where in ("one", "several")]
        np.testing.assert_allclose(*numbers, rtol=1e-6)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_stopped_run_of_several_batches_a_step_goes_on_to_the_bit(tmp_path, cut):
    def task():
        made = Half(clip=1.0, fit=10)
        made.descent.half, made.descent.scale = False, 1.0
        return made

    common = {"batch_size": 2, "accumulate": 3, "save_steps": 2, "ema": 0.9}  # updates of 6 and of 4
    whole = train(tmp_path / "whole", task(), **common)
    with pytest.raises(Stopped, match=f"step {cut} of 8"):
        train(tmp_path / "cut", task(), on_step=stop_at(cut), **common)
    assert same(weights(whole.task), weights(train(tmp_path / "cut", task(), **common).task))
    assert column(tmp_path / "whole", "loss") == column(tmp_path / "cut", "loss")


def test_a_divergence_in_one_of_several_batches_names_the_update(tmp_path):
    class Bad(Line):
        def item(self, example, rng):
            x, y = super().item(example, rng)
            return x, y * float("nan") if example == 4 else y

    with pytest.raises(Diverged, match=r"step \d: loss is not finite for examples .*4.*; their batch is in"):
        train(tmp_path, Bad(fit=6), batch_size=2, accumulate=3)
    with np.load(tmp_path / "diverged.npz") as arrays:
        assert len(arrays.files) == 12


@pytest.mark.parametrize("setting", [{"accumulate": 2}, {"precision": "fp16"}])
def test_a_task_that_steps_by_itself_is_refused(tmp_path, setting):
    with pytest.raises(ConfigError, match="need a task that has a `descent`"):
        train(tmp_path, Toy(), **setting)


# ---- half precision


def test_gradients_too_small_for_float16_survive():
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for half, expected in ((False, 0.0), (True, 1e-8)):
        weight.data.fill_(1.0)
        loss = (weight.half() * 1e-4).float().sum() * 1e-4  # the gradient passes through float16
        Descent(half=half)(loss, optimizer)
        assert float(weight.grad) == pytest.approx(expected, rel=1e-2, abs=1e-12)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_step_that_overflows_is_skipped_and_the_scale_halved(tmp_path, clip):
    task, seen = Half(bad=True, clip=clip), []
    train(tmp_path, task, precision="fp16", epochs=1, on_step=lambda *_: seen.append(weights(task)["model.3.weight"]))
    assert task.descent.scale == 2.0**15 and task.descent.good == 2
    start = weights(Half())["model.3.weight"]
    assert torch.equal(seen[0], start) and not torch.equal(seen[1], start)
    assert float(column(tmp_path, "scale")[0]) == pytest.approx((2.0**16 + 2.0**15 + 2.0**15) / 3)
    assert not clip or float(column(tmp_path, "gradient")[0]) > 0


def test_the_scale_grows_again(monkeypatch):
    monkeypatch.setattr(descent, "PATIENCE", 3)
    weight = nn.Parameter(torch.ones(1))
    steps = Descent(half=True)
    scales = [float(steps(weight.sum(), torch.optim.SGD([weight], lr=0.1))["scale"]) / 2**16 for _ in range(7)]
    assert scales == [1, 1, 1, 2, 2, 2, 4]


def test_gradients_that_overflow_at_any_scale_end_in_one_line():
    weight = nn.Parameter(torch.ones(1))
    steps, optimizer = Descent(half=True), torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(Diverged, match="overflow float16 even where the loss is multiplied by .*; lower optimizer.lr"):
        for _ in range(99):
            steps((weight * float("inf")).sum() * 0, optimizer)
    assert float(weight) == 1.0


@pytest.mark.parametrize("cut", [1, 2, 6])
def test_a_stopped_run_in_half_precision_goes_on_to_the_bit(tmp_path, cut):
    common = {"precision": "fp16", "save_steps": 5, "accumulate": 2, "batch_size": 2}
    whole = train(tmp_path / "whole", Half(bad=True), **common)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", Half(bad=True), on_step=stop_at(cut), **common)
    state = torch.load(tmp_path / "cut" / "last.pt", weights_only=True)
    assert state["descent"] == {"scale": 2.0**15, "good": cut - 1}
    resumed = train(tmp_path / "cut", Half(bad=True), **common)
    assert same(weights(whole.task), weights(resumed.task)) and whole.descent.state() == resumed.descent.state()
    assert column(tmp_path / "whole", "scale") == column(tmp_path / "cut", "scale")


def test_networks_compute_in_float16_and_keep_weights_of_float32(tmp_path):
    kinds = []

    class Watched(nn.Linear):
        def forward(self, x):
            kinds.append((y := super().forward(x)).dtype)
            return y

    found = weights(train(tmp_path, Half(module=Watched(3, 1)), precision="fp16").task)
    assert set(kinds) == {torch.float16} and found["model.weight"].dtype == torch.float32


# ---- initial weights


def test_initial_weights_of_a_given_spread(tmp_path):
    """The option with which every run of map2map from scratch ends in a NameError."""
    catalogue = fields(tmp_path)
    model = {"name": "vnet", "width": 8, "depth": 1, "padding": "periodic", "normalization": "batch"}
    make = [build(study(catalogue, experiment(model=model, training={"init_std": std, "seed": s})))
            for std, s in ((0.02, 0), (0.02, 0), (0.02, 1), (None, 0))]  # fmt: skip
    first, again, other, own = (dict(task.modules["model"].named_parameters()) for task in make)
    assert same(first, again) and not same(first, other)
    drawn = torch.cat([value.flatten() for value in first.values() if value.ndim > 1])
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.02) and abs(float(drawn.mean())) < 1e-3
    assert same(*({k: v for k, v in found.items() if v.ndim == 1} for found in (first, own)))
