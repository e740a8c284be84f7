"""Which GPUs a training takes, without a GPU: names stand for them."""

import os
import tempfile
import threading
import time

import pytest
import torch

from m2m_core.training import gpus
from tests.training.toys import in_child, settings

FOUR = ["0", "1", "2", "3"]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of four GPUs without a scheduler, and with a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "PAUSE", 0.01)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name in gpus.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(gpus.VISIBLE, "")


def taken(count, names=FOUR):
    return gpus.taken(names, count, pytest.fail)


def chosen(**training):
    return gpus.chosen(settings(**{"device": "auto"} | training)["training"], pytest.fail)


def test_trainings_take_different_gpus_and_give_them_back():
    with taken(1) as first, taken(2) as second, taken(1) as third:
        assert (first, second, third) == (["0"], ["1", "2"], ["3"])
    with taken(4) as everything:
        assert everything == FOUR


def test_another_process_takes_another_and_a_dead_one_keeps_none():
    def work():
        with taken(1) as ours:
            os._exit(int(ours[0]))

    with taken(1):
        assert in_child(work) == 1
    with taken(4):
        pass


def test_a_busy_gpu_is_waited_for_without_keeping_another():
    said, got = [], []

    def wait():
        with gpus.taken(["0", "1"], 2, said.append) as ours:
            got.append(ours)

    with taken(1, ["0", "1"]):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        assert said == ["waiting until nothing else trains on 2 of 2 GPUs"] and not got
    thread.join(10)
    assert got == [["0", "1"]]


def test_cuda_sees_what_was_taken(monkeypatch):
    with taken(1), chosen(gpus=2):
        assert os.environ[gpus.VISIBLE] == "1,2"
    monkeypatch.setenv(gpus.VISIBLE, "5,7")
    with taken(1, ["5"]), chosen():
        assert os.environ[gpus.VISIBLE] == "7"


@pytest.mark.parametrize("device", ["cpu", "cuda:3"])
def test_what_the_config_names_is_left_as_it_is(device):
    with chosen(device=device), chosen(device=device):
        assert os.environ[gpus.VISIBLE] == ""


def test_what_a_scheduler_gave_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv(gpus.VISIBLE, "0")
    with chosen(), chosen():
        assert os.environ[gpus.VISIBLE] == "0"
