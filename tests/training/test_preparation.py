"""What is done to networks before they train changes their speed and memory, and nothing else."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from m2m_core import models
from m2m_core.errors import Diverged
from m2m_core.training import networks
from m2m_core.training.networks import recompute
from tests.training.toys import Toy, column, same, settings, train, weights

torch.set_num_threads(1)


def vnet(normalization="batch", depth=1):
    torch.manual_seed(0)
    return models.build(
        "vnet", {"width": 4, "depth": depth, "padding": "periodic", "normalization": normalization}, 3, 3, 3
    )


class Boxes(Toy):
    """A V-Net with batch normalisation on small boxes."""

    def __init__(self, **options):
        super().__init__(module=vnet(), lr=0.01, **options)

    def item(self, example, rng):
        x = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(example)).numpy()
        return x, x**2


# ---- activations


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_recomputed_activations_change_no_bit(tmp_path, precision):
    common = {"epochs": 1, "precision": precision}
    plain = train(tmp_path / "a", Boxes(), **common)
    fewer = train(tmp_path / "b", Boxes(), checkpoint_activations=True, **common)
    assert same(weights(plain.task), weights(fewer.task))  # running statistics are moved once, too


def kept(network, x):
    """Bytes that a forward pass keeps for the backward pass."""
    seen = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.update({t.data_ptr(): t.nbytes}) or t, lambda t: t):
        network(x)
    return sum(seen.values())


def test_recomputed_activations_need_less_memory():
    x, network = torch.randn(1, 3, 16, 16, 16), vnet("none")
    before = kept(network, x)
    recompute(network)
    assert kept(network, x) < 0.4 * before


class Careless(nn.Module):
    """Overwrites what its block was given."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(3, 1))

    def forward(self, x):
        x = x * 1.0
        y = self.block(x)
        with torch.no_grad():
            x.zero_()
        return y


def test_an_input_that_is_overwritten_is_no_silent_mistake(tmp_path):
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        train(tmp_path, Toy(module=Careless()), checkpoint_activations=True)


# ---- layout


def test_channels_last_is_another_order_of_the_same_numbers(tmp_path):
    train(tmp_path / "a", Boxes(), epochs=1)
    last = train(tmp_path / "b", Boxes(), epochs=1, channels_last=True, ema=0.5)
    layouts = {p.is_contiguous(memory_format=torch.channels_last_3d) for p in last.task.modules["model"].parameters()
               if p.ndim == 5}  # fmt: skip
    assert layouts == {True}
    losses = [[float(x) for x in column(tmp_path / name, "loss")] for name in "ab"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    before = weights(last.task)
    again = train(tmp_path / "b", Boxes(), epochs=1, channels_last=True, ema=0.5)  # from the checkpoint
    assert not again.worked and same(before, weights(again.task))


# ---- compilation


def test_a_compiled_network_trains_as_it_would_otherwise(tmp_path):
    def run(folder, **training):
        torch.manual_seed(0)
        return weights(train(folder, Toy(module=nn.Sequential(nn.Linear(3, 4), nn.Tanh())), epochs=1, **training).task)

    plain, made = run(tmp_path / "a"), run(tmp_path / "b", compile=True)
    assert plain.keys() == made.keys() and counters["stats"]["unique_graphs"] > 0
    for key, value in plain.items():
        torch.testing.assert_close(value, made[key], rtol=1e-4, atol=1e-5)


def test_a_missing_compiler_is_one_line(tmp_path):
    code = """
import sys, torch
from pathlib import Path
from m2m_core.errors import RunError
from tests.training.toys import Toy, train
try:
    train(Path(sys.argv[1]), Toy(), epochs=1, compile=True)
except RunError as error:
    print(error)
"""
    environment = {"CXX": "/nowhere/g++", "PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("training.compile: ") and done.stdout.count("\n") == 1, done.stdout + done.stderr


# ---- anomalies


class Root(nn.Linear):
    """Its gradient at 0 is 0 times infinity."""

    def forward(self, x):
        return (super().forward(x) * 0).abs().sqrt() * 0 + super().forward(x)


def test_the_operation_whose_gradient_is_not_a_number_is_named(tmp_path):
    words = r"^step 0: Function 'SqrtBackward0' returned nan values in its 0th output. the log has"
    with pytest.raises(Diverged, match=words) as error:
        train(tmp_path, Toy(module=Root(3, 1)), detect_anomaly=True)
    assert "\n" not in str(error.value)


def test_looking_for_anomalies_changes_no_bit(tmp_path):
    first, second = train(tmp_path / "a", Toy(), epochs=2), train(tmp_path / "b", Toy(), epochs=2, detect_anomaly=True)
    assert same(weights(first.task), weights(second.task))


def test_nothing_is_done_that_is_not_asked_for(monkeypatch):
    network = vnet()
    before = copy.deepcopy(network.state_dict())
    networks.prepare({"model": network}, settings()["training"], type("One", (), {"size": 1}))
    assert same(before, network.state_dict()) and not any("forward" in vars(m) for m in network.modules())
