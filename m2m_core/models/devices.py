"""Where models run: choice of the device, what to record about it, and what to do when its memory runs out."""

import contextlib
import ctypes
import os
import platform
import resource
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ..errors import ConfigError, OutOfMemory, RunError

__all__ = [
    "arithmetic", "choose", "described", "environment", "hardware", "keep_memory", "memory_errors", "move",
    "peak_memory", "repeat_exactly", "seed",
]  # fmt: skip

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
KEPT = {-3: 2**25, -1: 2**31 - 1}  # mallopt's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD [bytes]
WORDS = ("not enough memory", "can't allocate memory", "out of memory")
LOST = ("killed by signal", "exited unexpectedly")  # what torch says of a reading process


def choose(device: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `cuda:N`; raises ConfigError when it is not there."""
    count = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda" if count else "cpu")
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        present = ", ".join(f"cuda:{i}" for i in range(count)) or "only the CPU"
        raise ConfigError(f"training.device: {device} is not here; present: {present}")
    return torch.device(device)


def keep_memory() -> None:
    """Let the C library keep what freed tensors leave, up to 32 MiB each, instead of giving it back to the system.

    On a CPU, mapping the memory of every tensor anew costs an eighth of a step of a small network.
    """
    with contextlib.suppress(AttributeError, OSError):  # a C library without these settings
        for name, value in KEPT.items():
            ctypes.CDLL(None).mallopt(name, value)


def move(batch: Any, device: torch.device) -> Any:
    """The same tensor, tuple or dict of tensors on `device`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(move(value, device) for value in batch)
    return batch


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """Within it, networks compute as `precision` says: float32, bf16 or fp16."""
    return torch.autocast(device.type, HALVES.get(precision, torch.bfloat16), enabled=precision in HALVES)


def repeat_exactly() -> None:
    """Let cuDNN take only algorithms that give the same bits each time: some of the faster ones add in any order."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def seed(device: torch.device, value: int) -> None:
    """Begin the random numbers of the CPU and of `device` anew: a tenth of the time of torch.manual_seed."""
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(value)


def peak_memory(device: torch.device) -> float:
    """Largest memory used so far [MiB]: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def described(device: torch.device) -> str:
    """The device for people: the name of a GPU, the threads of a CPU."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({threads} thread{'s' * (threads > 1)})"


def environment(device: torch.device) -> dict[str, Any]:
    """What the last bits of a result depend on: the kind of device, the number of threads, the versions."""
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else platform.machine()
    versions = {"torch": str(torch.__version__), "numpy": np.__version__}
    return {"device": name, **versions, **({} if gpu else {"threads": torch.get_num_threads()})}


def hardware(device: torch.device) -> dict[str, Any]:
    """What a report says about the machine: an allow-list, never the environment."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": str(device), "name": name, "threads": torch.get_num_threads(), "cores": os.cpu_count()}


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Raise OutOfMemory (a RunError) with `advice`, the keys to change, where memory is the cause of an error."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(f"out of memory: {advice}; {_first_line(error)}") from error
    except RuntimeError as error:
        if any(word in str(error) for word in WORDS):
            raise OutOfMemory(f"out of memory: {advice}; {_first_line(error)}") from error
        if "DataLoader worker" in str(error) and any(word in str(error) for word in LOST):
            text = "a process that reads crops was killed, likely for memory (main or /dev/shm); lower training.workers"
            raise RunError(f"{text}; {_first_line(error)}") from error
        if "DataLoader timed out" in str(error):
            text = "a process that reads crops gives nothing; does the file system hang? expected a batch"
            raise RunError(f"{text}; {_first_line(error)}") from error
        raise


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]
