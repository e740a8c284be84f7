"""Devices by name, batches of any shape on them, and the random numbers of a step."""

import numpy as np
import pytest
import torch

from m2m_core.errors import ConfigError, RunError
from m2m_core.models import devices


def present(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize("count, name, found", [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cuda:1", "cuda:1")])
def test_a_device_that_is_here(monkeypatch, count, name, found):
    present(monkeypatch, count)
    assert devices.choose(name) == torch.device(found) and devices.choose("cpu").type == "cpu"


@pytest.mark.parametrize(
    "count, name, text",
    [
        (0, "cuda", "cuda is not here; present: only the CPU"),
        (2, "cuda:7", "cuda:7 is not here; present: cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not(monkeypatch, count, name, text):
    present(monkeypatch, count)
    with pytest.raises(ConfigError, match=f"training.device: {text}"):
        devices.choose(name)


def test_batches_are_moved_whatever_they_are():
    x = torch.ones(2)
    moved = devices.move({"a": [x, (x, "text")], "b": x}, torch.device("meta"))
    assert moved["a"][0].is_meta and moved["a"][1][0].is_meta and moved["a"][1][1] == "text" and moved["b"].is_meta


def test_seeding_is_that_of_torch():
    devices.seed(torch.device("cpu"), 2**63 - 1)
    first = torch.rand(3)
    torch.manual_seed(2**63 - 1)
    assert torch.equal(first, torch.rand(3))


def test_the_environment_names_what_the_bits_depend_on():
    threads = torch.get_num_threads()
    assert devices.environment(torch.device("cpu"))["threads"] == threads
    assert devices.environment(torch.device("cpu"))["numpy"] == np.__version__
    assert devices.described(torch.device("cpu")).startswith(f"cpu ({threads} thread")
    assert devices.peak_memory(torch.device("cpu")) > 10


@pytest.mark.parametrize("pid_text", ["is killed by signal: Killed. ", "exited unexpectedly"])
def test_a_lost_reader_is_about_memory(pid_text):
    with pytest.raises(RunError, match="lower training.workers"), devices.memory_errors("advice"):
        raise RuntimeError(f"DataLoader worker (pid 12) {pid_text}")
