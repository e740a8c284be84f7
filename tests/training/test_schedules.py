"""Learning rates by formula, by hand, and as the loop sets them."""

import math

import pytest

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
    schedule = registry.load("schedule", name)(50)
    assert all(0 <= schedule.factor(step) <= 1 for step in range(60))
    state = schedule.state()
    schedule.restore(state)
    assert schedule.state() == state and isinstance(schedule.watches, bool)


def test_the_loop_sets_the_rate_of_every_optimizer(tmp_path):
    task, seen = Toy(lr=0.5), []
    train(tmp_path, task, on_step=lambda *_: seen.append(task.optimizers["model"].param_groups[0]["lr"]),
          schedule={"name": "cosine", "warmup": 2, "end": 0.0})  # fmt: skip
    assert seen == pytest.approx([0.5 * value for value in factors(Cosine(12, warmup=2, end=0.0), 12)])
