"""Where training runs: choice of the device, and what to record about it."""

import os
import platform
import resource
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import ConfigError

__all__ = ["choose", "hardware", "move", "peak_memory"]


def choose(device: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `cuda:N`; raises ConfigError when it is not there."""
    count = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda" if count else "cpu")
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        present = ", ".join(f"cuda:{i}" for i in range(count)) or "only the CPU"
        raise ConfigError(f"training.device: {device} is not here; present: {present}")
    return torch.device(device)


def move(batch: Any, device: torch.device) -> Any:
    """The same tensor, tuple or dict of tensors on `device`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(move(value, device) for value in batch)
    return batch


def peak_memory(device: torch.device) -> float:
    """Largest memory used so far [MiB]: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def hardware(device: torch.device) -> dict[str, Any]:
    """What a report says about the machine: an allow-list, never the environment."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": str(device), "name": name, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
