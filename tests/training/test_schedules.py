"""Learning rates by formula, by hand, and as the loop sets them."""

import math

import pytest
import torch
from torch.optim import lr_scheduler as lr

from m2m_core import registry
from m2m_core.training.schedules import Constant, Cosine, Plateau
from tests.training.toys import Toy, train


def factors(schedule, steps):
    return [schedule.factor(step) for step in range(steps)]


def test_constant():
    assert factors(Constant(4), 4) == [1.0] * 4
    assert factors(Constant(4, warmup=3), 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_goes_from_the_peak_to_its_end():
    values = factors(Cosine(5, end=0.1), 5)
    assert values == pytest.approx([1.0, 0.55 + 0.45 * math.sqrt(0.5), 0.55, 0.55 - 0.45 * math.sqrt(0.5), 0.1])


def test_cosine_after_a_warm_up_peaks_once():
    values = factors(Cosine(20, warmup=4), 20)
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and values[-1] == pytest.approx(0.01)
    assert values.index(max(values)) == 4 and values[4:] == sorted(values[4:], reverse=True)


def test_cosine_beyond_its_horizon_stays_at_the_end():
    short, long = Cosine(10, horizon=6), Cosine(1000, horizon=6)
    assert factors(short, 12) == factors(long, 12) and factors(short, 12)[5:] == pytest.approx([0.01] * 7)


@pytest.mark.parametrize("steps, warmup", [(1, 0), (1, 5), (2, 2)])
def test_cosine_of_next_to_no_steps(steps, warmup):
    assert all(0 < value <= 1 for value in factors(Cosine(steps, warmup=warmup), 3 * steps))


def test_plateau_lowers_the_rate_when_nothing_improves():
    schedule, levels = Plateau(9, patience=2, shrink=0.5, threshold=0.01, end=0.2), []
    for score in (5.0, 4.0, 3.99, 4.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0):
        schedule.observe(score)
        levels.append(schedule.factor(0))
    assert levels == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


def test_plateau_goes_on_from_its_state():
    one, other = Plateau(9, patience=2), Plateau(9, patience=2)
    for score in (2.0, 2.0):
        one.observe(score)
    other.restore(one.state())
    for schedule in (one, other):
        schedule.observe(2.0)
    assert one.factor(3) == other.factor(3) == 0.5 and one.state() == other.state()


def test_plateau_of_negative_scores():
    schedule = Plateau(9, patience=1)
    for score in (-1.0, -2.0, -3.0):
        schedule.observe(score)
    assert schedule.factor(0) == 1.0


@pytest.mark.parametrize("name", sorted(registry.entries("schedule")))
def test_every_schedule_keeps_the_contract(name):
    schedule = registry.load("schedule", name)(50, **({"milestones": [7]} if name == "multistep" else {}))
    assert all(0 <= schedule.factor(step) <= 1 for step in range(60))
    state = schedule.state()
    schedule.restore(state)
    assert schedule.state() == state and isinstance(schedule.watches, bool)


def test_the_loop_sets_the_rate_of_every_optimizer(tmp_path):
    task, seen = Toy(lr=0.5), []
    train(tmp_path, task, on_step=lambda *_: seen.append(task.optimizers["model"].param_groups[0]["lr"]),
          schedule={"name": "cosine", "warmup": 2, "end": 0.0})  # fmt: skip
    assert seen == pytest.approx([0.5 * value for value in factors(Cosine(12, warmup=2, end=0.0), 12)])


# ---- those of torch by their formulas


def torch_factors(make, steps):
    """Rates that a scheduler of torch sets, in units of the peak."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


OF_TORCH = {
    "step": ({"every": 3, "shrink": 0.5}, lambda o: lr.StepLR(o, 3, 0.5)),
    "multistep": ({"milestones": [2, 5], "shrink": 0.1}, lambda o: lr.MultiStepLR(o, [2, 5], 0.1)),
    "exponential": ({"every": 1, "shrink": 0.9}, lambda o: lr.ExponentialLR(o, 0.9)),
    "linear": ({"end": 0.2}, lambda o: lr.LinearLR(o, 1.0, 0.2, 19)),
    "polynomial": ({"power": 2.0}, lambda o: lr.PolynomialLR(o, 19, 2.0)),
    "one_cycle": ({}, lambda o: lr.OneCycleLR(o, 1.0, 20, cycle_momentum=False)),
    "cyclic": ({"up": 3, "down": 5, "low": 0.1}, lambda o: lr.CyclicLR(o, 0.1, 1.0, 3, 5, cycle_momentum=False)),
    "cosine_restarts": ({"period": 3, "growth": 2}, lambda o: lr.CosineAnnealingWarmRestarts(o, 3, 2)),
    "cosine": ({"end": 0.1}, lambda o: lr.CosineAnnealingLR(o, 19, 0.1)),
    "constant": ({}, lambda o: lr.LambdaLR(o, lambda step: 1.0)),
}


@pytest.mark.parametrize("name", OF_TORCH)
def test_rates_are_those_of_the_scheduler_of_torch_though_functions_of_the_step(name):
    options, make = OF_TORCH[name]
    schedule = registry.load("schedule", name)(20, **options)
    backwards = [schedule.factor(step) for step in reversed(range(20))]
    assert backwards[::-1] == pytest.approx(torch_factors(make, 20), abs=1e-7)


@pytest.mark.parametrize("name", sorted(set(OF_TORCH) - {"constant", "one_cycle"}))
def test_a_warm_up_comes_before(name):
    options = {key: value for key, value in OF_TORCH[name][0].items() if key != "milestones"}
    if name == "multistep":
        options["milestones"] = [30]
    if name == "cyclic":
        options["low"] = 1.0
    values = factors(registry.load("schedule", name)(40, warmup=4, **options), 40)
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and max(values) <= 1.0


def test_each_cycle_is_less_high():
    values = factors(registry.load("schedule", "cyclic")(9, up=1, down=1, low=0.5, shrink=0.5), 6)
    assert values == pytest.approx([0.5, 1.0, 0.5, 0.75, 0.5, 0.625])


@pytest.mark.parametrize("warmup, warned", [(11, False), (12, True), (1000, True)])
def test_a_warm_up_that_outlasts_the_training_is_told(tmp_path, warmup, warned):
    said = []
    train(tmp_path, Toy(), schedule={"name": "cosine", "warmup": warmup}, say=said.append)
    line = f"warning: schedule.warmup: {warmup} steps of 12; the peak rate is never reached"
    assert (line in said) == warned
