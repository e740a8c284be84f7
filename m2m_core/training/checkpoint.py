"""The state of a training on disk: one file, whole or absent, checked, and loaded without executing anything."""

import contextlib
import os
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..errors import RunError
from ..files import write_whole

__all__ = ["LAST", "newest", "nonfinite", "restore", "save", "set_aside"]

LAST = "last.pt"

PLAIN = (bool, int, float, str, type(None), torch.Tensor)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, numbers, texts, lists and dicts of them); raises RunError on anything else."""
    _refuse_foreign(state, path)
    write_whole(path, lambda stream: _write(dict(state), stream))


def newest(folder: Path) -> Path:
    """The last checkpoint in `folder`, else the newest that was set aside; it need not exist."""
    return folder / LAST if (folder / LAST).exists() else max(_earlier(folder), default=folder / LAST)


def set_aside(folder: Path, step: int, keep: int) -> None:
    """Keep the last checkpoint, of update number `step`, beside the one that follows, `keep` in all with that one."""
    last = folder / LAST
    if keep > 1 and last.exists():
        with contextlib.suppress(OSError):  # there already, or a file system without links: fewer are kept
            os.link(last, folder / f"step-{step:09d}.pt")
    earlier = sorted(_earlier(folder))
    for path in earlier[: max(0, len(earlier) - (keep - 1))]:
        path.unlink(missing_ok=True)


def _earlier(folder: Path) -> list[Path]:
    return list(folder.glob("step-*.pt"))


def restore(path: Path, identity: str) -> dict[str, Any] | None:
    """The state at `path`, None if there is none; raises RunError when it is damaged or of another training."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at its checksums
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or "empty file"
        text = f"not a readable checkpoint ({type(error).__name__}: {reason[:80]}); {_remedy(path)}"
        raise RunError(f"{path}: {text}") from error
    if not isinstance(state, dict) or state.get("identity") != identity:
        found = state.get("identity") if isinstance(state, dict) else type(state).__name__
        raise RunError(f"{path}: belongs to training {found}, not to {identity}; delete it to train anew")
    if bad := nonfinite(state["modules"]):
        raise RunError(f"{path}: {bad} is not finite; {_remedy(path)}")
    return state


def _remedy(path: Path) -> str:
    earlier = max((other for other in _earlier(path.parent) if other != path), default=None)
    return "delete it to " + (f"go on from {earlier.name}" if earlier else "train anew")


def nonfinite(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str | None:
    """The first of the tensors, module -> key -> values, that holds NaN or infinity: one wait for the device in all."""
    tensors = {f"{m}.{k}": v for m, state in states.items() for k, v in state.items() if v.is_floating_point()}
    if not tensors:
        return None
    finite = torch.stack([value.detach().isfinite().all() for value in tensors.values()]).tolist()
    return next((key for key, good in zip(tensors, finite, strict=True) if not good), None)


def _write(state: dict[str, Any], stream: IO[bytes]) -> None:
    """torch reports a full disk as an archive of the wrong length; the error beneath it is the one to tell."""
    try:
        torch.save(state, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _refuse_foreign(value: Any, path: Path, where: str = "state") -> None:
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _refuse_foreign(key, path, f"a key of {where}")
            _refuse_foreign(item, path, f"{where}.{key}")
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            _refuse_foreign(item, path, f"{where}[{i}]")
    elif not isinstance(value, PLAIN) or isinstance(value, np.generic):
        raise RunError(f"{path}: {where} is a {type(value).__name__}, which could not be loaded again safely")
