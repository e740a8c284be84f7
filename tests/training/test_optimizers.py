"""Optimizers by name: all of torch that make sense, groups of parameters, and what is refused."""

import contextlib
import math

import pytest
import torch
from torch import nn

from m2m_core import config, registry
from m2m_core.errors import ConfigError, Stopped
from tests.config.making import changed, refused
from tests.training.toys import Toy, same, stop_at, train, weights

NAMES = sorted(registry.entries("optimizer"))
LEFT_OUT = {"lbfgs", "sparseadam", "muon", "optimizer"}  # see the module
E = "experiments/vnet/optimizer"
torch.set_num_threads(1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def optimizer(name, module, **options):
    return registry.load("optimizer", name)(module.named_parameters(), **options)


def test_every_optimizer_of_torch_is_there_or_left_out_with_a_reason():
    kinds = {k.lower() for k, v in vars(torch.optim).items() if isinstance(v, type)}
    assert kinds == set(NAMES) | LEFT_OUT


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_torch(name):
    theirs = next(v for k, v in vars(torch.optim).items() if k.lower() == name)
    module = network()
    given = {"sgd": {"lr": 0.01, "momentum": 0.9}}.get(name, {})
    ours, expected = optimizer(name, module).defaults, theirs(module.parameters(), **given).defaults
    kept = {k: v for k, v in expected.items() if k not in ("fused", "foreach")}
    found = {k: (v if k != "initial_accumulator_value" else float(v)) for k, v in ours.items() if k in kept}
    assert found == kept


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_descends_and_goes_on_from_its_state_to_the_bit(tmp_path, name):
    def task():
        made = Toy()
        made.optimizers = {"model": optimizer(name, made.modules["model"])}
        return made

    before = weights(task())
    whole = train(tmp_path / "whole", task())
    with pytest.raises(Stopped):
        train(tmp_path / "cut", task(), on_step=stop_at(7))
    resumed = train(tmp_path / "cut", task())
    assert same(weights(whole.task), weights(resumed.task)) and not same(before, weights(whole.task))
    assert all(math.isfinite(float(value.sum())) for value in weights(whole.task).values())


# ---- groups


def test_a_group_has_its_own_rate_and_decay_and_the_rest_the_defaults(tmp_path):
    module = network()
    groups = [{"match": "bias$", "lr": None, "weight_decay": 0.0}, {"match": r"^2\.", "lr": 0.5, "weight_decay": None}]
    found = optimizer("adamw", module, lr=0.1, weight_decay=0.3, groups=groups).param_groups
    own = [(g["lr"], g["weight_decay"], [p.shape for p in g["params"]]) for g in found]
    assert own == [(0.1, 0.0, [(4,), (1,)]), (0.5, 0.3, [(1, 4)]), (0.1, 0.3, [(4, 3)])]
    assert {id(p) for g in found for p in g["params"]} == {id(p) for p in module.parameters()}
    task = Toy(module=module)
    task.optimizers = {"model": optimizer("adamw", module, lr=0.1, groups=groups)}
    train(tmp_path, task, schedule={"name": "linear", "end": 0.1})
    assert [g["lr"] for g in task.optimizers["model"].param_groups] == pytest.approx([0.01, 0.05, 0.01])


@pytest.mark.parametrize("match", ["style", "weight|bias"])
def test_a_group_without_parameters_is_refused_with_names_that_there_are(match):
    groups = [{"match": "weight|bias", "lr": 0.1}, {"match": match, "lr": 0.1}]
    words = r"optimizer.groups\[1\].match: '.*' matches no parameter .*; names are like 0.weight, 0.bias"
    with pytest.raises(ConfigError, match=words):
        optimizer("adam", network(), groups=groups)


@pytest.mark.parametrize("name", NAMES)
def test_torch_takes_what_the_config_takes(name):
    """The ends of each range and what lies just beyond, which the config or torch refuses: never torch alone."""
    for option in registry.find("optimizer", name).options.keys() - {"groups"}:
        for value in (0, 0.0, 1e-9, 1, 1.0, -1.0, 1e15, True):
            with contextlib.suppress(ConfigError):
                optimizer(name, network(), **registry.check("optimizer", name, {option: value}))


def test_groups_are_typed():
    found = config.parse(changed(E, {"name": "adam", "groups": [{"match": "style|bias", "lr": 1.0e-4}]}))
    expected = [{"match": "style|bias", "lr": 1e-4, "weight_decay": None}]
    assert found.experiments["vnet"].optimizer["groups"] == expected
    place = "experiments.vnet.optimizer.groups[0]"
    for group, line in {
        "match: style": f"{place}.mach: 'adam' has no such key; did you mean 'match'?",
        "match": f"{place}.match: '(' is no regular expression",
        "lr": f"{place}.lr: got -1.0; expected a number above 0",
    }.items():
        given = {"match: style": {"mach": "a"}, "match": {"match": "("}, "lr": {"match": "a", "lr": -1.0}}[group]
        assert refused(changed(E, {"name": "adam", "groups": [given]})).startswith(line)
    assert "optimizer: unknown optimizer 'lbfgs'; known: " in refused(changed(E, "lbfgs"))
