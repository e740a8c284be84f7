"""What a training asked for and what it was given: GPUs on each node, nodes, as seen by torch and by Slurm."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import RunError
from .restarts import asked

__all__ = ["check", "nodes_given"]

SEEN = ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE")  # what decides how many GPUs there are


def check(training: Mapping[str, Any]) -> str | None:
    """One line about both, None when nothing was asked for but a CPU; raises RunError when too little was given."""
    gpus, nodes, device = training["gpus"], training["nodes"], training["device"]
    given, several = nodes_given() if nodes > 1 else 1, gpus * nodes > 1
    place = f"on {_many(nodes, 'node')}, given"
    if device == "cpu":
        text = f"asked for {gpus} process{'es' * (gpus > 1)} {place} {_many(given, 'node')}"
        return _refused_if(given < nodes, text) if nodes > 1 else None
    here = torch.cuda.device_count()
    seen = ", ".join(f"{name}={os.environ[name]}" for name in SEEN if name in os.environ)
    text = f"asked for {_many(gpus, 'GPU')} {place} {here}" + f" ({seen})" * bool(seen)
    text += f" on {_many(given, 'node')}" * (nodes > 1)
    if several:
        return _refused_if(here < gpus or given < nodes, text)
    if device == "auto" and not here:
        return f"{text}; trains on the CPU" if "SLURM_GPUS_ON_NODE" in os.environ else None
    return text


def _refused_if(short: bool, text: str) -> str:
    if short:
        raise RunError(f"{text}; lower training.gpus or training.nodes, or give the job more")
    return text


def nodes_given() -> int:
    """How many nodes Slurm gave to this job; one without Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    answer = (asked(["squeue", "-h", "-j", job, "-o", "%D"]) or "").strip() if job else ""
    return int(answer) if answer.isdigit() else int(os.environ.get("SLURM_JOB_NUM_NODES", 1)) if job else 1


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)
