"""Weights to begin with: of map2map's `state_*.pt`, of a bare state dict, or of a model that was trained here."""

import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError
from ..files import digest
from .map2map import names

__all__ = ["load", "read"]

KEY = "training.initial_weights"
PARTS = {"model": "model", "discriminator": "adv_model"}  # module -> its name in a state of map2map
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # how files of torch begin, and those of its older versions
HEAD, JSON = 9, b"{"  # safetensors begin with a length of eight bytes, then this
SHOWN = 160  # characters of what others say
ERRORS = OSError, EOFError, RuntimeError, ValueError, KeyError
UNREADABLE = (*ERRORS, zipfile.BadZipFile, safetensors.SafetensorError)

State = dict[str, Tensor]


def load(
    modules: Mapping[str, nn.Module], path: str, strict: bool, sha256: str | None, say: Callable[[str], None]
) -> None:
    """Put the weights at `path` into `modules`; a module other than "model" that the file does not have is left alone.

    strict: whether the file must hold all weights of the network and no others; shapes must agree in any case
    sha256: of the file when the training was planned
    Raises DataError when the file is damaged, has changed or needs more than tensors, ConfigError when it is of another
    network; both name the first key that is wrong.
    """
    if sha256 is not None and (found := digest(path)) != sha256:
        raise DataError(f"{KEY}: {path}: sha256 is {found[:12]}, not {sha256[:12]}: the file has changed; run again")
    parts = read(path, modules)
    if "model" not in parts:
        raise ConfigError(f"{KEY}: {path}: no weights of 'model', only of {', '.join(map(repr, parts)) or 'nothing'}")
    for name, module in modules.items():
        if name in parts:
            left = _put(module, parts[name], path, strict)
            say(f"begins with weights of {path}{left}" if name == "model" else f"and of its {name}{left}")
        else:
            say(f"{path} has no {name}, which begins with random weights")


def read(path: str, modules: Iterable[str]) -> dict[str, State]:
    """Module -> the state that a file has for it, under the names of the file."""
    content = _content(Path(path))
    heads = dict.fromkeys(key.partition(".")[0] for key in content)
    if any(isinstance(content.get(theirs), Mapping) for theirs in PARTS.values()):  # of map2map
        parts = {name: dict(content[theirs]) for name, theirs in PARTS.items() if theirs in content}
    elif heads.keys() <= {*modules, *PARTS}:  # of this workflow
        parts = {
            head: {k.partition(".")[2]: v for k, v in content.items() if k.startswith(f"{head}.")} for head in heads
        }
    else:
        parts = {"model": content}
    for key, value in ((key, value) for part in parts.values() for key, value in part.items()):
        if not isinstance(value, Tensor) or (value.is_floating_point() and not bool(value.isfinite().all())):
            what = "not finite" if isinstance(value, Tensor) else f"of the type {type(value).__name__}"
            raise DataError(f"{KEY}: {path}: {key} is {what}; expected a state dict of finite tensors")
    return parts


def _content(path: Path) -> dict[str, Any]:
    """What a file holds; nothing in it is executed."""
    try:
        with open(path, "rb") as stream:  # given a path, torch would go by its suffix
            head = stream.read(HEAD)
            stream.seek(0)
            if head[-1:] == JSON or not head.startswith((ZIP, PICKLE)):
                return dict(safetensors.torch.load(stream.read()))
            _check(stream, head)
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(f"{KEY}: {path}: {_refusal(error)}; expected tensors, numbers and texts") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:SHOWN] or type(error).__name__
        text = f"not readable as weights ({reason}); expected a .pt or .safetensors file"
        raise DataError(f"{KEY}: {path}: {text}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{KEY}: {path}: holds a {type(content).__name__}; expected a state dict")
    return {str(key): value for key, value in content.items()}


def _check(stream: IO[bytes], head: bytes) -> None:
    """Compare the checksums of an archive, at which torch does not look; older files have none."""
    if head.startswith(ZIP):
        with zipfile.ZipFile(stream) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        stream.seek(0)


def _refusal(error: Exception) -> str:
    """Why a pickle is not loaded: it names code, or it is torn."""
    text = " ".join(str(error).split())
    _, found, rest = text.partition("Unsupported global: GLOBAL ")
    if found:
        return f"names the code {rest.split()[0]}, which could do anything: refused"
    return "not readable without executing what is in it: refused"


def _put(module: nn.Module, state: State, path: str, strict: bool) -> str:
    """Copy a state into a module; returns what was left out, for people."""
    own = module.state_dict()
    known = names(state)
    prefix = next((p for p in _prefixes(module) if any(p + ours in own for ours in known.values())), "")
    values = {prefix + ours: (theirs, state[theirs]) for theirs, ours in known.items()}
    for key, (theirs, value) in ((key, values[key]) for key in own if key in values):
        if value.shape != own[key].shape:
            shapes = f"{theirs} is {tuple(value.shape)}, but {key} of the model {tuple(own[key].shape)}"
            raise ConfigError(f"{KEY}: {path}: {shapes}; expected the options of model that the file was made with")
    missing = [key for key in own if key not in values]
    foreign = [theirs for key, (theirs, _) in values.items() if key not in own]
    if strict and (missing or foreign):
        text = f"has no {missing[0]}, shape {tuple(own[missing[0]].shape)}" if missing else _extra(foreign[0], state)
        raise ConfigError(f"{KEY}: {path}: {text}; expected the same network, or strict: false")
    if len(foreign) == len(values):
        raise ConfigError(
            f"{KEY}: {path}: {_extra(foreign[0], state) if foreign else 'empty'}, nor any other key of it"
        )
    with torch.no_grad():
        for key in own.keys() & values.keys():
            own[key].copy_(values[key][1])
    return f", without {len(missing)} of the model's and {len(foreign)} of the file's" if missing or foreign else ""


def _extra(key: str, state: State) -> str:
    return f"has {key}, shape {tuple(state[key].shape)}, which the model does not have"


def _prefixes(module: nn.Module) -> list[str]:
    """A state may be that of the whole, or of one network in it."""
    return ["", *(f"{name}." for name, _ in module.named_children())]
