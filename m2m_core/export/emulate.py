"""An emulator from one file: physical field in, physical field out, tile by tile. Needs torch alone."""

import itertools
import json
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

__all__ = ["load"]


def load(path: Any, device: str = "cpu") -> tuple[Callable[..., torch.Tensor], dict[str, Any]]:
    """(emulate, about) of a file: emulate(field (C, *space), redshift=, omega_m=) -> (C', *space); about: its facts.

    Further numbers that the network is told are given likewise, by name. A field may have an axis of examples before
    its channels: then each number is one for all of them, or one an example.
    """
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(f"{path}: {damaged} is damaged")
        about = json.loads(file.read("archive/extra/about.json"))
    program, size = move_to_device_pass(torch.export.load(path), device).module(), about["size"]

    def emulate(field: Any, tile: list[int] | None = None, **physics: Any) -> torch.Tensor:
        if len(field.shape) == size["axes"] + 2:
            each = [{name: _of(value, i, len(field)) for name, value in physics.items()} for i in range(len(field))]
            return torch.stack([emulate(one, tile, **own) for one, own in zip(field, each, strict=True)])
        field, halo = torch.as_tensor(field, dtype=torch.float32, device=device), size["halo"]
        shape, physics = list(field.shape), {**about["defaults"], **physics}
        tile = tile or (shape[1:] if size["whole"] else list(map(min, size["tile"], shape[1:])))
        refuse(about, shape, tile, physics)
        told: list[Any] = [float(physics[name]) for name in ("redshift", "omega_m")]
        told += [[float(physics[name]) for name in about["numbers"]]] if about["numbers"] else []
        numbers = [torch.tensor(value, dtype=torch.float64, device=device) for value in told]
        for axis, n in enumerate(shape[1:] if about["periodic"] else [], 1):  # what lies across the box
            field = field.index_select(axis, torch.arange(-halo, n + halo, device=device) % n)
        if not about["periodic"]:
            field = torch.nn.functional.pad(field, [halo] * 2 * len(tile))
        whole = field.new_empty(about["target"]["channels"], *shape[1:])
        for corner in itertools.product(*map(range, [0] * len(tile), shape[1:], tile)):
            start = [min(c, n - t) for c, n, t in zip(corner, shape[1:], tile, strict=True)]  # the last ones fit inside
            axes = list(zip(corner, start, tile, strict=True))
            block = field[(slice(None), *(slice(s, s + t + 2 * halo) for _, s, t in axes))].contiguous()
            values = program(block, *numbers)[(slice(None), *(slice(c - s, t) for c, s, t in axes))]
            whole[(slice(None), *(slice(c, s + t) for c, s, t in axes))] = values
        return whole

    return emulate, about


def _of(value: Any, example: int, examples: int) -> float:
    """What a number is of one of several examples; raises ValueError if there is not one for each."""
    if not hasattr(value, "__len__") or not getattr(value, "shape", True):
        return float(value)
    if len(value) != examples:
        raise ValueError(f"{len(value)} numbers for {examples} fields; expected one for all or one for each")
    return float(value[example])


def refuse(about: dict[str, Any], shape: list[int], tile: list[int], physics: dict[str, float]) -> None:
    """Raise ValueError for a field of `shape`, tiles, or numbers that the emulator does not take."""
    size, channels = about["size"], about["input"]["channels"]
    if shape[:1] != [channels] or len(shape) != 1 + size["axes"]:
        raise ValueError(f"a field of shape {shape}; expected {channels} channels, then {size['axes']} axes")
    if about["free"]:
        expected = f"multiples of {size['multiple_of']}, at least {size['least']}"
        fits = all(t % size["multiple_of"] == 0 and t >= size["least"] for t in tile)
    else:
        expected, fits = f"{size['tile']}, the only size of this network", tile == size["tile"]
    if not fits or len(tile) != size["axes"] or any(t > n for t, n in zip(tile, shape[1:], strict=True)):
        raise ValueError(f"tiles of {tile} in a field of {shape[1:]}; expected {expected}")
    *names, last = "redshift", "omega_m", *about["numbers"]
    if sorted(physics) != sorted([*names, last]):
        expected = f"{', '.join(names)} and {last} of the field, and nothing else"
        raise ValueError(f"got {sorted(physics)}; expected {expected}")
