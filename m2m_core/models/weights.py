"""Weights on disk: safetensors with a sha256 kept beside them, because a flipped bit loads without complaint."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from ..errors import RunError
from ..files import digest, write_whole

__all__ = ["load_weights", "save_weights"]


def save_weights(path: str | Path, states: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Write state dicts, module -> key -> tensor, as 'module.key'; returns the sha256 of the file."""
    tensors = {f"{m}.{k}": v.detach().cpu().contiguous() for m, state in states.items() for k, v in state.items()}
    data = safetensors.torch.save(tensors)
    write_whole(path, lambda stream: stream.write(data))
    return digest(path)


def load_weights(path: str | Path, modules: Mapping[str, nn.Module], sha256: str) -> None:
    """Put the weights of a file into `modules`; raises RunError when the file is not the one that was written."""
    if (found := digest(path)) != sha256:
        raise RunError(f"{path}: sha256 is {found[:12]}, training wrote {sha256[:12]}: the file has changed")
    try:
        tensors = safetensors.torch.load_file(path)
        for name, module in modules.items():
            prefix = f"{name}."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(f"{path}: not the weights of this model: {' '.join(str(error).split())[:160]}") from error
