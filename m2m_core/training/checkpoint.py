"""The state of a training on disk: one file, whole or absent, loaded without executing anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import RunError
from ..files import write_whole

__all__ = ["restore", "save"]

PLAIN = (bool, int, float, str, type(None), torch.Tensor)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, numbers, texts, lists and dicts of them); raises RunError on anything else."""
    _refuse_foreign(state, path)
    write_whole(path, lambda stream: torch.save(dict(state), stream))


def restore(path: Path, identity: str) -> dict[str, Any] | None:
    """The state at `path`, None if there is none; raises RunError when it is damaged or of another training."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or "empty file"
        text = f"not a readable checkpoint ({type(error).__name__}: {reason[:80]}); delete it to train anew"
        raise RunError(f"{path}: {text}") from error
    if not isinstance(state, dict) or state.get("identity") != identity:
        found = state.get("identity") if isinstance(state, dict) else type(state).__name__
        raise RunError(f"{path}: belongs to training {found}, not to {identity}; delete it to train anew")
    return state


def _refuse_foreign(value: Any, path: Path, where: str = "state") -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_foreign(item, path, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _refuse_foreign(item, path, f"{where}[{i}]")
    elif not isinstance(value, PLAIN) or isinstance(value, np.generic):
        raise RunError(f"{path}: {where} is a {type(value).__name__}, which could not be loaded again safely")
