"""Adversarial training: criteria and penalties by hand, who is updated when and by what, what becomes the model."""

import math
import os
import signal

import numpy as np
import pytest
import safetensors.torch
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from m2m_core import models, registry
from m2m_core.errors import ConfigError, Stopped
from m2m_core.tasks.adversary import Adversary, Scene, Slopes, resampled
from m2m_core.tasks.penalties import gradient_penalty, slopes, zero_centred
from m2m_core.tasks.protocol import Descents, build
from m2m_core.training.loop import fit
from m2m_core.training.synchronised import Mean
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study
from tests.training.toys import column, same, weights

torch.set_num_threads(1)
JUDGE = {"name": "stylegan2_discriminator", "scale": 2, "width": 4, "narrowest": 2}
REAL, FAKE = torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[0.5, 1.5]]])
EVERYTHING = {
    "criterion": {"name": "wasserstein", "every": 2},
    "schedule": {"name": "step", "every": 2},
    "discriminator": {**JUDGE, "spectral_norm": True},
    "start": 1,
    "critic_steps": 2,
    "conditional": True,
    "r1": 1.0,
    "penalty_every": 2,
    "noise": 0.5,
    "noise_epochs": 1.5,
    "clip": 1.0,
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return fields(tmp_path_factory.mktemp("fields"), count=6, space=(8, 8))


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(Tracker, "pictures", lambda *_: None)


def settings(task=None, **changes):
    return experiment({"name": "adversarial", "discriminator": JUDGE, **(task or {})}, **changes)


def made(catalogue, task=None, **changes):
    return build(study(catalogue, settings(task, **changes)))


def batch_of(task, count=2):
    split = task.samples()
    return task.collate([task.item(split.fit[n], np.random.default_rng(n)) for n in range(count)])


def run(catalogue, folder, task=None, on_step=None, **changes):
    chosen = settings(task, **changes)
    return fit(build(study(catalogue, chosen)), chosen, folder, "adversarial", on_step)


# ---- criteria


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    "name, options, discriminator, generator",
    [
        ("bce", {}, (softplus(-2) + softplus(1) + softplus(0.5) + softplus(1.5)) / 2,
         (softplus(-0.5) + softplus(-1.5)) / 2),
        ("bce", {"label_smoothing": 0.25},
         (softplus(-2) + 0.25 * 2 + softplus(1) + 0.25 * -1 + softplus(0.5) + softplus(1.5)) / 2,
         (softplus(-0.5) + softplus(-1.5)) / 2),
        ("hinge", {}, (0 + 2) / 2 + (1.5 + 2.5) / 2, -1.0),
        ("least_squares", {}, 0.5 * ((1 + 4) / 2 + (0.25 + 2.25) / 2), 0.5 * (0.25 + 0.25) / 2),
        ("wasserstein", {}, 1.0 - 0.5, -1.0),
    ],
)  # fmt: skip
def test_criteria_by_hand(name, options, discriminator, generator):
    criterion = registry.load("criterion", name)(**options)
    assert float(criterion.discriminator(REAL, FAKE)) == pytest.approx(discriminator)
    assert float(criterion.generator(FAKE)) == pytest.approx(generator)


@pytest.mark.parametrize("name", sorted(registry.entries("criterion")))
def test_each_side_of_a_criterion_falls_where_it_wins(name):
    criterion = registry.load("criterion", name)()
    real, fake = REAL.clone().requires_grad_(), torch.tensor([[[-0.5, 0.5]]], requires_grad=True)
    criterion.discriminator(real, fake).backward()
    assert (real.grad <= 0).any() and not (real.grad[..., 1] > 0).any() and (fake.grad >= 0).any()
    (towards,) = torch.autograd.grad(criterion.generator(fake), fake)
    assert (towards < 0).all()


# ---- penalties


def linear(*weight):
    """A discriminator whose value of a field (B, 2, 3, 3) is its mean over voxels of w . x."""
    net = nn.Conv2d(2, 1, 1)
    net.weight.data = torch.tensor(weight).reshape(1, 2, 1, 1)
    return net


def test_penalties_of_a_linear_discriminator():
    net, voxels = linear(6.0, 8.0), 9
    real, fake = torch.randn(2, 4, 2, 3, 3).unbind()
    squared = (36 + 64) / voxels
    penalty = zero_centred(net, real)
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(0.5 * squared)
    assert net.weight.grad.flatten().tolist() == pytest.approx([6 / voxels, 8 / voxels])  # of |w|^2 / 2n
    net.zero_grad()
    penalty = gradient_penalty(net, real, fake, torch.rand(4))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx((math.sqrt(squared) - 1) ** 2)
    pull = 2 * (math.sqrt(squared) - 1) / (math.sqrt(squared) * voxels)
    assert net.weight.grad.flatten().tolist() == pytest.approx([6 * pull, 8 * pull])


def test_the_gradient_penalty_is_taken_between_true_and_made_fields():
    seen = []

    def critic(field):
        seen.append(field.detach())
        return field.square()

    real, fake = torch.ones(3, 1, 2), torch.zeros(3, 1, 2)
    share = torch.tensor([0.0, 0.25, 1.0])
    penalty = gradient_penalty(critic, real, fake, share)
    assert torch.equal(seen[0], share.reshape(3, 1, 1).expand(3, 1, 2))
    norm = share * math.sqrt(2)  # of 2 x / n over n = 2 voxels
    assert float(penalty.detach()) == pytest.approx(float((norm - 1).square().mean()))


def test_a_flat_discriminator_has_a_finite_penalty():
    net = linear(0.0, 0.0)
    gradient_penalty(net, torch.randn(1, 2, 3, 3), torch.randn(1, 2, 3, 3), torch.rand(1)).backward()
    assert net.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(registry.entries("discriminator")))
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_penalties_are_exact_in_half_precision(name, half):
    options = registry.check("discriminator", name, {"width": 8} | ({"scale": 2} if "style" in name else {}))
    net = models.build_discriminator(name, options, 1, 2).eval()
    field = torch.randn(2, 1, 26, 26)
    exact = slopes(net, field)
    with torch.autocast("cpu", half), torch.no_grad():
        found = slopes(net, field.to(half).float())
        assert found.dtype == torch.float32 and found.requires_grad
    torch.testing.assert_close(slopes(net, field.to(half)), found, rtol=0, atol=0)
    assert exact.isfinite().all()
    found.square().sum().backward()
    assert [key for key, p in net.named_parameters() if p.ndim > 1 and not p.grad.any()] == []


def test_lazy_penalties_count_as_often_as_they_are_left_out():
    adversary = Adversary(linear(3.0, 0.0), {"name": "wasserstein", "every": 2}, Slopes(2.0, None, 3))
    real, fake = torch.randn(2, 4, 2, 3, 3).unbind()
    scene = Scene(None, torch.arange(4), 0.0)
    found = [float(adversary.penalty(real, fake, scene, step)) for step in range(6)]
    slope, r1 = 2 * 10.0 * (1 - 1) ** 2, 3 * 2.0 * 0.5 * 1.0  # |w| / sqrt(9) is 1
    assert found == pytest.approx([slope + r1, 0, slope, r1, slope, 0], abs=1e-5)


def test_a_mean_over_processes_has_second_derivatives():
    class Half:
        def average(self, value):
            return 0.5 * value.detach()

    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: Mean.apply(x.square() * x, Half()), x)


# ---- what is seen


def test_the_condition_is_the_input_under_the_target():
    source = torch.arange(10.0).expand(1, 1, 10)
    assert resampled(source, torch.Size([4]), 1).tolist() == [[[3.0, 4.0, 5.0, 6.0]]]
    fine = resampled(source, torch.Size([8]), 2)  # voxels 3 to 6, cells half as large
    assert fine.tolist() == [[[2.75, 3.25, 3.75, 4.25, 4.75, 5.25, 5.75, 6.25]]]


def test_random_numbers_belong_to_examples():
    field = torch.zeros(3, 1, 4)
    scene, turned = (Scene(None, torch.tensor(seeds), 2.0) for seeds in ([5, 7, 9], [9, 5, 7]))
    noisy = scene.noisy(field, 0)
    assert torch.equal(turned.noisy(field, 0), noisy[[2, 0, 1]]) and not torch.equal(noisy, scene.noisy(field, 1))
    assert Scene(None, torch.tensor([5]), 0.0).noisy(field, 0) is field
    many = Scene(None, torch.arange(200), 2.0).noisy(torch.zeros(200, 1, 40), 0)
    assert float(many.std()) == pytest.approx(2.0, rel=0.05)


def test_noise_falls_linearly_from_the_start(catalogue):
    task = made(catalogue, {"noise": 0.8, "noise_epochs": 2.0, "start": 1})
    found = []
    for step in range(4, 16):
        task.descent.begin(1.0, True, True, step, 4)
        found.append(task._noise(task._since()))
    assert found == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0])


# ---- who is updated


def counted(task):
    """Which optimizer stepped in which update."""
    steps = {name: [] for name in task.optimizers}
    for name, optimizer in task.optimizers.items():
        optimizer.register_step_post_hook(lambda *_, name=name: steps[name].append(task.descent["model"].step))
    return steps


def test_updates_of_the_discriminator_for_each_of_the_generator(catalogue, tmp_path):
    chosen = settings({"critic_steps": 3, "start": 1, "clip": 1.0}, training={"epochs": 5, "clip": 1.0})
    task = build(study(catalogue, chosen))
    steps = counted(task)
    loop = fit(task, chosen, tmp_path, "adversarial")
    assert loop.per_epoch == 2 and loop.steps == 10
    assert steps == {"model": [0, 1, 4, 7], "discriminator": list(range(2, 10))}
    names = [
        "loss",
        "supervised",
        "adversarial",
        "gradient_model",
        "critic",
        "penalty",
        "real",
        "fake",
        "gradient_discriminator",
    ]
    table = {name: [float(value) for value in column(tmp_path, name)] for name in names}
    assert (tmp_path / "history.csv").read_text().startswith("step,epoch," + ",".join(names) + ",validation,lr")
    assert table["critic"][0] == 0 and all(table["critic"][1:]) and np.isfinite(list(table.values())).all()


def test_both_losses_move_the_generator(catalogue):
    """From its start on, map2map trains by the adversarial loss alone, and shows the other one."""
    moved = {}
    for supervised, weight in [(1.0, 0.0), (0.0, 1.0), (2.0, 3.0)]:
        task = made(catalogue, {"supervised": supervised, "weight": weight}, optimizer={"name": "sgd", "lr": 1.0})
        before = {key: value.clone() for key, value in task.modules["model"].state_dict().items()}
        task.step(batch_of(task))
        after = task.modules["model"].state_dict()
        moved[supervised, weight] = torch.cat([(after[key] - before[key]).flatten() for key in before]).double()
    one, other, both = moved.values()
    assert one.norm() > 0 and other.norm() > 0
    torch.testing.assert_close(both, 2 * one + 3 * other, rtol=1e-3, atol=1e-6)


def test_the_generator_leaves_no_gradient_in_the_discriminator(catalogue):
    task = made(catalogue)
    batch = batch_of(task)
    task.descent = Descents({"model": None, "discriminator": None})
    task.descent.begin(1.0, True, False)  # gradients, no step
    prediction, target, _ = task.regression.predicted(batch[:-1])
    scene = task._scene(batch[0], target, batch[-1], 0)
    task.adversary.generator_loss(prediction, scene).backward()
    assert all(p.grad is None and p.requires_grad for p in task.modules["discriminator"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in task.modules["model"].parameters())


def test_a_discriminator_that_learns_tells_true_from_made(catalogue):
    task = made(catalogue, {"criterion": "hinge", "optimizer": {"name": "adam", "lr": 0.02}, "weight": 0.01})
    batch = batch_of(task, 3)
    found = [task.step(batch) for _ in range(60)]
    assert float(found[-1]["real"]) > float(found[-1]["fake"]) + 0.5
    assert float(found[-1]["critic"]) < 0.8 * float(found[0]["critic"])


def test_rates_of_its_own(catalogue, tmp_path):
    seen = []
    chosen = settings(
        {"schedule": {"name": "step", "every": 2, "shrink": 0.5}, "optimizer": {"name": "sgd", "lr": 0.8}}
    )
    task = build(study(catalogue, chosen))
    rates = lambda: [optimizer.param_groups[0]["lr"] for optimizer in task.optimizers.values()]  # noqa: E731
    fit(task, chosen, tmp_path, "adversarial", lambda *_: seen.append(rates()))
    assert seen == [[0.01, lr] for lr in (0.8, 0.8, 0.4, 0.4, 0.2, 0.2)]
    told = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.value for e in told.Scalars("lr_discriminator")] == pytest.approx([0.8, 0.4, 0.2])
    assert [e.value for e in told.Scalars("lr_model")] == pytest.approx([0.01] * 3)


def test_a_group_of_the_discriminator_without_parameters_is_named_as_in_the_config(catalogue):
    task = made(catalogue, {"optimizer": {"name": "adam", "groups": [{"match": "encode"}]}})
    with pytest.raises(ConfigError, match=r"^task\.optimizer\.groups\[0\]\.match: .*; names are like first.0.weight"):
        _ = task.optimizers


@pytest.mark.parametrize("name", ["patchgan", "patchgan42", "stylegan2_discriminator"])
def test_spectral_norm_holds_while_it_trains(tmp_path, name):
    judge = {"name": name, "spectral_norm": True, "width": 4} | ({"scale": 2} if "style" in name else {})
    space = (32, 32)
    chosen = settings({"discriminator": judge, "optimizer": {"name": "sgd", "lr": 0.1}, "conditional": True},
                      crops={"size": 32}, training={"epochs": 20})  # fmt: skip
    loop = fit(build(study(fields(tmp_path, space=space), chosen)), chosen, tmp_path / "training", "adversarial")
    layers = [layer for layer in loop.task.modules["discriminator"].modules() if hasattr(layer, "weight_orig")]
    assert len(layers) >= 4
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.1)


# ---- the model


@pytest.mark.parametrize("choose", ["last", "loss", "spectrum"])
def test_what_becomes_the_model(catalogue, tmp_path, choose):
    kept = {}
    chosen = settings({"choose": choose}, training={"epochs": 6})
    task = build(study(catalogue, chosen))
    loop = fit(task, chosen, tmp_path, "adversarial", lambda step, *_: kept.update({step: weights(task)}))
    scores = {int(s): float(v) for s, v in zip(column(tmp_path, "step"), column(tmp_path, "validation"), strict=True)}
    best = min(scores, key=scores.get)
    expected = kept[12 if choose == "last" else best]
    found = {f"{m}.{k}": v for m, state in loop.weights().items() for k, v in state.items()}
    assert same(found, expected)
    measured = task.measure(batch_of(task))
    assert next(iter(measured)) == ("spectrum" if choose == "spectrum" else "loss")


def test_the_error_of_spectra_is_that_of_amplitudes(catalogue):
    task = made(catalogue, {"choose": "spectrum"})
    target = torch.randn(2, 2, 8, 8)
    assert float(task._spectrum(target, target)) == 0
    assert float(task._spectrum(2 * target, target)) == pytest.approx(math.log(4) ** 2, rel=1e-4)


def test_the_moving_average_is_of_the_generator(catalogue, tmp_path):
    loop = run(catalogue, tmp_path, training={"ema": 0.9, "validation": None})
    held = loop.weights()
    assert {key.split(".")[0] for key in loop.average.means} == {"model"}
    state = {name: module.state_dict() for name, module in loop.task.modules.items()}
    assert same(held["discriminator"], state["discriminator"]) and not same(held["model"], state["model"])


def test_both_networks_of_a_state_of_map2map_are_the_initial_weights(catalogue, tmp_path):
    donor = made(catalogue, training={"seed": 5})
    torch.save({"model": donor.modules["model"].state_dict(), "epoch": 3,
                "adv_model": donor.modules["discriminator"].state_dict()}, tmp_path / "state_3.pt")  # fmt: skip
    begin = {"path": str(tmp_path / "state_3.pt"), "strict": True}
    loop = run(catalogue, tmp_path / "training", training={"initial_weights": begin, "epochs": 0})
    assert same(weights(loop.task), weights(donor))


# ---- going on, and together


@pytest.fixture(scope="module")
def reference(catalogue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return run(catalogue, folder, EVERYTHING, training={"ema": 0.9, "clip": 1.0}), folder


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_bit(catalogue, tmp_path, reference, cut):
    whole, folder = reference
    assert whole.steps == 6
    running = {"training": {"ema": 0.9, "clip": 1.0}}
    with pytest.raises(Stopped):
        stop = lambda step, *_: step == cut and os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        run(catalogue, tmp_path, EVERYTHING, stop, **running)
    chosen = settings(EVERYTHING, **running)
    task = build(study(catalogue, chosen))
    noises = []
    original = task._noise
    task._noise = lambda since: noises.append(original(since)) or noises[-1]
    loop = fit(task, chosen, tmp_path, "adversarial")
    assert same(weights(loop.task), weights(whole.task))
    assert all(same(loop.weights()[name], whole.weights()[name]) for name in ("model", "discriminator"))
    for name in ("loss", "supervised", "adversarial", "critic", "penalty", "gradient_model", "gradient_discriminator"):
        assert column(tmp_path, name) == column(folder, name)
    falling = [0.5 * max(0.0, 1 - since / 3) for since in range(-2, 4)]
    assert noises == pytest.approx(falling[cut:])


def test_recomputed_activations_change_no_bit_under_spectral_norm(catalogue, tmp_path, reference):
    fewer = run(catalogue, tmp_path, EVERYTHING, training={"ema": 0.9, "clip": 1.0, "checkpoint_activations": True})
    assert same(weights(fewer.task), weights(reference[0].task))


def test_two_processes_train_the_weights_of_one(catalogue, tmp_path):
    both = {"optimizer": {"name": "sgd", "lr": 0.01}}
    made = []
    for gpus in (1, 2):
        task = {**EVERYTHING, **both, "discriminator": JUDGE, "name": "adversarial"}
        files = Files(tmp_path / str(gpus), catalogue, task=task, **both)
        training(files, gpus=gpus, batch_size=3, ema=0.9)
        made.append(safetensors.torch.load_file(files.model))
    one, two = made
    start = build(study(catalogue, files.experiment))
    assert one.keys() == two.keys() == weights(start).keys()
    assert max(float((one[key] - value).abs().max()) for key, value in weights(start).items()) > 1e-3
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], rtol=0, atol=1e-6)


def test_super_resolution_with_noise_trains_and_goes_on_to_the_bit(tmp_path):
    finer = fields(tmp_path, space=(8, 8), scale=2, channels={"input": 2, "target": 2})
    model = {"name": "stylegan2_generator", "scale": 2, "width": 4, "narrowest": 2}
    judge = {"discriminator": {**JUDGE, "scale": 4}, "conditional": True, "r1": 1.0, "noise": 0.2}
    common = {"model": model, "training": {"ema": 0.9}}

    def stop(step, *_):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = run(finer, tmp_path / "whole", judge, **common)
    with pytest.raises(Stopped):
        run(finer, tmp_path / "cut", judge, stop, **common)
    assert same(weights(run(finer, tmp_path / "cut", judge, **common).task), weights(whole.task))
    task = whole.task
    assert task.modules["discriminator"].first[0].in_channels == 4
    strengths = [p for key, p in task.modules["model"].named_parameters() if key.endswith(("before", "between"))]
    assert len(strengths) == 2 and all(strength.any() for strength in strengths)  # of the noise, at first none
    sample = task.samples().predict[0]
    assert task.predict(sample).whole().shape == (2, 16, 16)


def test_a_styled_generator_is_told_its_styles(tmp_path):
    catalogue = fields(tmp_path, space=(8, 8), redshift=0.5)
    model = {"name": "styled_vnet", "width": 2, "depth": 1, "padding": "periodic"}
    task = made(catalogue, {"conditional": True}, model=model, styles={"growth": {"shift": 0.0, "spread": 0.5}})
    batch = batch_of(task)
    assert len(batch) == 4 and batch[2].shape == (2, 1) and batch[2].all()
    before = weights(task)
    task.step(batch)
    assert not any(same({key: before[key]}, {key: value}) for key, value in weights(task).items() if "style" in key)


def test_the_exported_network_is_the_generator(catalogue):
    task = made(catalogue)
    assert registry.load("export", "adversarial")(task).module.network is task.modules["model"]
