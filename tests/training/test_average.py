"""The mean of the weights of the last epochs: by hand, resumed, continued, with statistics that belong to it."""

import copy

import pytest
import torch
from torch import nn

from m2m_core import config
from m2m_core.errors import ConfigError, Stopped
from m2m_core.training.average import recompute
from tests.config.making import changed, small
from tests.training.toys import VALIDATION, Scored, Toy, same, stop_at, train, weights

TRAINING = "experiments/vnet/training"


def watched():
    """A task, and the weights after each of its updates, three an epoch."""
    task, seen = Toy(), []
    return task, seen, lambda *_: seen.append(copy.deepcopy(weights(task)))


def plain():
    """A task without batch normalisation and dropout."""
    torch.manual_seed(0)
    return Toy(module=nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))


def model(loop):
    return {f"model.{key}": value for key, value in loop.weights()["model"].items()}


@pytest.mark.parametrize("last, epochs", [(2, [3, 4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_the_mean_of_the_last_epochs_is_that_by_hand(tmp_path, last, epochs):
    task, seen, on_step = watched()
    loop = train(tmp_path, task, on_step=on_step, average={"last": last})
    for key, value in model(loop).items():
        if "running" not in key and value.is_floating_point():
            expected = sum(seen[3 * epoch - 1][key].double() for epoch in epochs) / len(epochs)
            torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-8)
    assert model(loop)["model.1.num_batches_tracked"] == 12
    assert same(weights(task), seen[-1])  # training itself goes on with its own


def test_the_statistics_are_those_of_the_averaged_weights(tmp_path):
    """By hand: the features of the averaged first layer, over all examples of the last epoch, batch by batch."""
    task = Toy()
    batches, step = [], task.step
    task.step = lambda batch: batches.append(batch[0].clone()) or step(batch)
    found = model(train(tmp_path, task, average={"last": 3}))
    features = [x @ found["model.0.weight"].T + found["model.0.bias"] for x in batches[-3:]]
    mean = torch.stack([f.mean(0) for f in features]).mean(0)
    variance = torch.stack([f.var(0) for f in features]).mean(0)
    torch.testing.assert_close(found["model.1.running_mean"], mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["model.1.running_var"], variance, rtol=1e-5, atol=1e-6)
    own = weights(task)["model.1.running_var"]
    assert not torch.allclose(own, variance, rtol=1e-2)  # of the last weights, and half forgotten


def test_recomputing_leaves_all_else_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    network[1].num_batches_tracked.fill_(7)
    before = copy.deepcopy(network.state_dict())
    recompute({"model": network}, [torch.ones(5, 3), torch.zeros(5, 3)], network)
    after = network.state_dict()
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"1.running_mean", "1.running_var"}
    assert network[1].momentum == 0.1 and not any(module.training for module in network.modules())


def test_without_batch_normalisation_no_batch_is_read_again(tmp_path):
    task = plain()
    task.measure = None  # which the pass would call
    train(tmp_path, task, average={"last": 2})


def test_the_best_model_is_the_averaged_one_with_its_statistics(tmp_path):
    scored = Scored(3.0, 1.0, 2.0, 2.0)
    scores, seen = scored.scores, []
    scored.measure = lambda batch: (
        {"loss": torch.tensor(scores.pop(0))} if not norm_trains(scored) else Toy.measure(scored, batch)
    )
    loop = train(
        tmp_path, scored, on_step=lambda *_: seen.append(copy.deepcopy(weights(scored))), average={"last": 2},
        validation=VALIDATION,
    )  # fmt: skip
    expected = (seen[2]["model.0.weight"] + seen[5]["model.0.weight"]) / 2
    torch.testing.assert_close(model(loop)["model.0.weight"], expected, rtol=1e-6, atol=1e-8)
    assert loop.best.step == 6 and not torch.equal(model(loop)["model.1.running_mean"], seen[5]["model.1.running_mean"])


def norm_trains(task):
    return task.modules["model"][1].training


@pytest.mark.parametrize("step", [1, 3, 7, 10])
@pytest.mark.parametrize("validation", [None, VALIDATION])
def test_a_resumed_average_has_the_bits_of_one_never_stopped(tmp_path, step, validation):
    settings = {"average": {"last": 2}, "validation": validation}
    whole = train(tmp_path / "whole", Toy(validate=2), **settings)
    with pytest.raises(Stopped):
        train(tmp_path / "parts", Toy(validate=2), on_step=stop_at(step), **settings)
    parts = train(tmp_path / "parts", Toy(validate=2), **settings)
    assert same(model(parts), model(whole))
    again = train(tmp_path / "parts", Toy(validate=2), **settings)
    assert not again.worked and same(model(again), model(whole))


def test_more_epochs_have_the_bits_of_one_long_training(tmp_path):
    """The window goes along: what was averaged at the end of the shorter one does not stay in it."""
    settings = {"average": {"last": 3}, "schedule": {"name": "constant"}}
    train(tmp_path / "parts", Toy(), epochs=4, **settings)
    parts = train(tmp_path / "parts", Toy(), epochs=6, **settings)
    assert same(model(parts), model(train(tmp_path / "whole", Toy(), epochs=6, **settings)))


def test_one_average_at_a_time():
    with pytest.raises(ConfigError, match="training: ema and average; expected one of them"):
        config.parse(changed(TRAINING, {"ema": 0.9, "average": {"last": 5}}))
    with pytest.raises(ConfigError, match=r"training.average.last: got 1; expected an integer from 2 to 100"):
        config.parse(changed(TRAINING, {"average": {"last": 1}}))
    assert config.parse(small()).experiments["vnet"].training.average is None
