"""What was asked for and what was given: one line that says both, before anything is computed."""
# ruff: noqa: E501 (lines stand here as they are printed)

import pytest
import torch

from m2m_core.errors import RunError
from m2m_core.training import granted


@pytest.fixture(autouse=True)
def outside_slurm(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_NUM_NODES", *granted.SEEN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def given(monkeypatch):
    """A computer with so many GPUs, in a Slurm job of so many nodes."""

    def given(gpus, nodes=None, squeue=True, **variables):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(granted, "asked", lambda command: f"{nodes}\n" if squeue and nodes else None)
        if nodes:
            variables |= {"SLURM_JOB_ID": "42", "SLURM_JOB_NUM_NODES": str(nodes)}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return given


def check(device="auto", gpus=1, nodes=1):
    return granted.check({"device": device, "gpus": gpus, "nodes": nodes})


@pytest.mark.parametrize("device, gpus", [("cpu", 1), ("cpu", 4), ("auto", 1)])
def test_a_cpu_is_always_there(given, device, gpus):
    given(0)
    assert check(device, gpus) is None


def test_enough_is_said(given):
    given(2, CUDA_VISIBLE_DEVICES="0,1")
    assert check(gpus=2) == "asked for 2 GPUs on 1 node, given 2 (CUDA_VISIBLE_DEVICES=0,1)"
    assert check("cuda") == "asked for 1 GPU on 1 node, given 2 (CUDA_VISIBLE_DEVICES=0,1)"


@pytest.mark.parametrize("squeue", [True, False])
def test_nodes_are_those_of_the_job(given, squeue):
    given(2, nodes=3, squeue=squeue, SLURM_GPUS_ON_NODE="2")
    assert check(gpus=2, nodes=3) == "asked for 2 GPUs on 3 nodes, given 2 (SLURM_GPUS_ON_NODE=2) on 3 nodes"
    assert check("cpu", gpus=2, nodes=2) == "asked for 2 processes on 2 nodes, given 3 nodes"


@pytest.mark.parametrize(
    "gpus, nodes, variables, asked, line",
    [
        (1, None, {"CUDA_VISIBLE_DEVICES": "0"}, {"gpus": 2}, "asked for 2 GPUs on 1 node, given 1 (CUDA_VISIBLE_DEVICES=0); lower training.gpus or"),
        (0, None, {}, {"gpus": 4}, "asked for 4 GPUs on 1 node, given 0; "),
        (0, None, {}, {"gpus": 4, "device": "cuda"}, "asked for 4 GPUs on 1 node, given 0; "),
        (2, None, {}, {"gpus": 2, "nodes": 2}, "asked for 2 GPUs on 2 nodes, given 2 on 1 node; "),
        (0, None, {}, {"nodes": 2, "device": "cpu"}, "asked for 1 process on 2 nodes, given 1 node; "),
        (1, 2, {"SLURM_GPUS_ON_NODE": "1"}, {"gpus": 2, "nodes": 2}, "asked for 2 GPUs on 2 nodes, given 1 (SLURM_GPUS_ON_NODE=1) on 2 nodes; "),
    ],
)  # fmt: skip
def test_too_little_is_refused(given, gpus, nodes, variables, asked, line):
    given(gpus, nodes, **variables)
    with pytest.raises(RunError) as error:
        check(**asked)
    assert str(error.value).startswith(line) and error.value.exit_code == 4


def test_a_gpu_that_torch_does_not_see_is_said(given):
    given(0, SLURM_GPUS_ON_NODE="1")
    assert check() == "asked for 1 GPU on 1 node, given 0 (SLURM_GPUS_ON_NODE=1); trains on the CPU"
