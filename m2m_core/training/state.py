"""The state of a loop as plain values, and back: all that a run needs to end with the bits of one never stopped."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import RunError
from ..models import devices

if TYPE_CHECKING:
    from .loop import Loop

__all__ = ["digest", "gather", "resume"]


def gather(loop: "Loop") -> dict[str, Any]:
    """Everything that later updates depend on, and the environment they were made in."""
    return {
        "identity": loop.identity,
        "environment": _environment(loop),
        "step": loop.step,
        "modules": {name: module.state_dict() for name, module in loop.task.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in loop.task.optimizers.items()},
        "average": loop.average.state() if loop.average else {},
        "descent": loop.descent.state() if loop.descent else {},
        "rates": loop.rates.state(),
        "best": loop.best.state(),
        "record": loop.recorder.state(),
    }


def resume(loop: "Loop", state: Mapping[str, Any], path: Path) -> None:
    """Put a gathered `state` into a new loop; raises RunError, naming `path`, when it is of another model.

    A state beyond the last step is left alone: of fewer epochs than before, the result is another, from the start.
    """
    if state["step"] > loop.steps:
        return loop.say(f"warning: {path} is of step {state['step']}, beyond the last, {loop.steps}; training anew")
    try:
        _put(loop, state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: does not fit this model: {' '.join(str(error).split())[:160]}") from error
    if not loop.finished:
        loop.recorder.attempts += 1
        _compare(loop, state["environment"])


def _put(loop: "Loop", state: Mapping[str, Any]) -> None:
    for name, module in loop.task.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in loop.task.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    if loop.average:
        loop.average.restore(state["average"])
    if loop.descent:
        loop.descent.restore(state["descent"])
    loop.rates.restore(state["rates"])
    loop.best.restore(state["best"])
    loop.recorder.restore(state["record"])
    loop.step = state["step"]


def _compare(loop: "Loop", before: Mapping[str, Any]) -> None:
    """Equal bits are promised for equal device, thread count, number of processes and versions only."""
    now, before = _environment(loop), {"processes": 1, **before}
    changed = [f"{key} {before.get(key)} then, {now[key]} now" for key in now if before.get(key) != now[key]]
    if changed:
        loop.say(f"warning: goes on in another environment, not bit by bit as before: {', '.join(changed)}")


def _environment(loop: "Loop") -> dict[str, Any]:
    return {**devices.environment(loop.device), "processes": loop.group.size}


def digest(loop: "Loop", settings: Mapping[str, Any]) -> bytes:
    """32 bytes that depend on everything that later updates depend on, and on the settings of the experiment."""
    known = {key: value for key, value in gather(loop).items() if key not in ("environment", "record")}
    sha256 = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for part in _parts(known):
        sha256.update(part)
    return sha256.digest()


def _parts(value: Any) -> Iterator[bytes]:
    """Nested values as bytes, in the order in which they stand."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()
