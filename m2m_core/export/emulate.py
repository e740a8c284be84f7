"""An emulator from one file: physical field in, physical field out, tile by tile. Needs torch alone."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

__all__ = ["load"]

Spans = list[tuple[int, int, int, int, int]]  # of each tile: corner, voxels left out, first, last one, of two tiles


def load(path: Any, device: str = "cpu") -> tuple[Callable[..., torch.Tensor], dict[str, Any]]:
    """(emulate, about) of a file: emulate(field (C, *space), redshift=, omega_m=) -> (C', *space); about: its facts.

    Further numbers that the network is told are given likewise, by name. A field may have an axis of examples before
    its channels: then each number is one for all of them, or one an example. Where the network is told noise, `seed`
    chooses it, a number or a name: the id of a sample gives that of the workflow.
    """
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(f"{path}: {damaged} is damaged")
        about = json.loads(file.read("archive/extra/about.json"))
    program, size = move_to_device_pass(torch.export.load(path), device).module(), about["size"]

    def emulate(field: Any, tile: list[int] | None = None, seed: Any = None, **physics: Any) -> torch.Tensor:
        if len(field.shape) == size["axes"] + 2:
            told = [{name: _of(value, i, len(field)) for name, value in physics.items()} for i in range(len(field))]
            seeds = seed if isinstance(seed, list | tuple) else [seed] * len(field)
            each = zip(field, seeds, told, strict=True)
            return torch.stack([emulate(one, tile, own, **numbers) for one, own, numbers in each])
        if hasattr(field, "astype"):  # of numpy, which knows orders of bytes and of axes that torch does not take
            field = field.astype("f4", order="C")
        field = torch.as_tensor(field, dtype=torch.float32, device=device)
        space, physics = list(field.shape[1:]), {**about["defaults"], **physics}
        tile = tile or (space if size["whole"] else list(map(min, size["tile"], space)))
        refuse(about, list(field.shape), tile, physics, seed)
        numbers = [None if x is None else x.to(device) for x in _numbers(about, physics)]
        sides, scale, around = _sides(about), size["scale"], _around(about)
        shared = [n if t < length else 0 for n, t, length in zip(size["overlap"], tile, space, strict=True)]
        wide = padded(field, sides, shared, around)

        def part(corner: Sequence[int]) -> torch.Tensor:
            cuts = [slice(c, c + low + t + high) for c, t, (low, high) in zip(corner, tile, sides, strict=True)]
            place = [_place(about, seed, corner, space).to(device)] if about["noise"] else []
            return program(wide[(slice(None), *cuts)].contiguous(), *numbers, *place)

        each_axis = [spans(*axis, scale) for axis in zip(space, tile, shared, around, strict=True)]
        return blended(each_axis, part, [scale * n for n in space])

    return emulate, about


def padded(field: torch.Tensor, sides: Sequence[Any], shared: Sequence[int], around: Sequence[bool]) -> torch.Tensor:
    """A field (C, *space) with what lies around it: its other end along an axis that goes on, zeros along others."""
    for axis, ((low, high), more, goes_on) in enumerate(zip(sides, shared, around, strict=True), 1):
        n = field.shape[axis]
        if goes_on:  # and the last tile reaches beyond the end, where it meets the first
            field = field.index_select(axis, torch.arange(-low, n + high + more, device=field.device) % n)
        else:
            field = torch.nn.functional.pad(field, [0] * 2 * (field.ndim - 1 - axis) + [low, high])
    return field


def spans(length: int, edge: int, overlap: int, around: bool, scale: int) -> Spans:
    """The tiles along an axis, each sharing `overlap` voxels with the next, the last with the first if it goes on."""
    beyond, stops = overlap if around else 0, [edge]
    while stops[-1] < length or (beyond and stops[-1] == length):
        stops.append(min(stops[-1] + edge - overlap, length + beyond))
    starts = [0, *(stop - overlap for stop in stops[:-1])]
    leads = [0, *[overlap] * (len(stops) - 1)]
    return [
        (stop - edge, *(scale * n for n in (start - stop + edge, start, stop, lead)))
        for start, stop, lead in zip(starts, stops, leads, strict=True)
    ]


def blended(
    axes: Sequence[Spans], part: Callable[..., torch.Tensor], space: Sequence[int], before: tuple[int, ...] = ()
) -> torch.Tensor:
    """The field (C, *space) that tiles make, which `part` makes of their corners; where two overlap, along a ramp."""
    if len(before) == len(axes):
        return part(before)
    axis, found, whole = 1 + len(before), axes[len(before)], None
    for corner, skip, start, stop, lead in found:
        values = blended(axes, part, space, (*before, corner))
        if whole is None:
            shape = list(values.shape)
            shape[axis] = found[-1][3]
            whole = values.new_empty(shape)
        new = values.narrow(axis, skip, stop - start)
        if lead:
            new = torch.cat([_mixed(whole.narrow(axis, start, lead), new.narrow(axis, 0, lead), axis),
                             new.narrow(axis, lead, stop - start - lead)], axis)  # fmt: skip
        whole.narrow(axis, start, stop - start).copy_(new)
    length = space[axis - 1]
    if seam := whole.shape[axis] - length:
        first = whole.narrow(axis, 0, seam)
        first.copy_(_mixed(whole.narrow(axis, length, seam), first, axis))
    return whole.narrow(axis, 0, length)


def _mixed(one: torch.Tensor, other: torch.Tensor, axis: int) -> torch.Tensor:
    """From one to the other along an axis."""
    count = one.shape[axis]
    weights = ((torch.arange(count, dtype=torch.float64) + 0.5) / count).float().to(one.device)
    return one + weights.reshape(-1, *[1] * (one.ndim - axis - 1)) * (other - one)


def _sides(about: dict[str, Any]) -> list[tuple[int, int]]:
    """Voxels that a tile needs (before, behind) it, of each axis."""
    halo, axes = about["size"]["halo"], about["size"]["axes"]
    return [(halo, halo)] * axes if isinstance(halo, int) else [(low, high) for low, high in halo]


def _around(about: dict[str, Any]) -> list[bool]:
    """Whether a field goes on beyond its end, of each axis."""
    periodic = about["periodic"]
    return list(periodic) if isinstance(periodic, list) else [periodic] * about["size"]["axes"]


def _numbers(about: dict[str, Any], physics: dict[str, Any]) -> list[Any]:
    """The numbers that the program takes, float64: redshift, omega_m, and all others as one."""
    told: list[Any] = [float(physics[name]) for name in ("redshift", "omega_m")]
    if about["numbers"]:
        told.append([float(physics[name]) for name in about["numbers"]])
    numbers: list[Any] = [torch.tensor(value, dtype=torch.float64) for value in told]
    return [*numbers, None] if about["noise"] and not about["numbers"] else numbers


def _place(about: dict[str, Any], seed: Any, corner: Sequence[int], space: Sequence[int]) -> torch.Tensor:
    """Where the noise of a tile is: the seed of the sample, its first voxel, and after how many it is the same."""
    words = f"{about['noise']['seed']}\0noise\0{0 if seed is None else seed}".encode()
    number = int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "big", signed=True)
    starts = [c - low for c, (low, _) in zip(corner, _sides(about), strict=True)]
    return torch.tensor([number, *starts, *(n * goes for n, goes in zip(space, _around(about), strict=True))])


def _of(value: Any, example: int, examples: int) -> float:
    """What a number is of one of several examples; raises ValueError if there is not one for each."""
    if not hasattr(value, "__len__") or not getattr(value, "shape", True):
        return float(value)
    if len(value) != examples:
        raise ValueError(f"{len(value)} numbers for {examples} fields; expected one for all or one for each")
    return float(value[example])


def refuse(about: dict[str, Any], shape: list[int], tile: list[int], physics: dict[str, float], seed: Any) -> None:
    """Raise ValueError for a field of `shape`, tiles, numbers or a seed that the emulator does not take."""
    size, channels = about["size"], about["input"]["channels"]
    if shape[:1] != [channels] or len(shape) != 1 + size["axes"]:
        raise ValueError(f"a field of shape {shape}; expected {channels} channels, then {size['axes']} axes")
    shown = zip(tile, _sides(about), strict=False)
    made = [t + low + high - 2 * size["margin"] for t, (low, high) in shown]  # with what is seen beyond the need
    k, more = size["multiple_of"], [m - t for m, t in zip(made, tile, strict=False)]
    if about["free"]:
        beyond = f" with {more} voxels around" if any(more) else ""
        expected = f"multiples of {k}, at least {size['least']}{beyond}"
        fits = all(m % k == 0 and m >= size["least"] + -(-n // k) * k for m, n in zip(made, more, strict=True))
    else:
        expected, fits = f"{size['tile']}, the only size of this network", tile == size["tile"]
    if not fits or len(tile) != size["axes"] or any(t > n for t, n in zip(tile, shape[1:], strict=True)):
        raise ValueError(f"tiles of {tile} in a field of {shape[1:]}; expected {expected}")
    if size["closed"] and tile != shape[1:]:
        raise ValueError(f"tiles of {tile} in a field of {shape[1:]}; expected it whole, for this network closes it")
    if any(t < n and 2 * shared > t for t, n, shared in zip(tile, shape[1:], size["overlap"], strict=True)):
        raise ValueError(f"tiles of {tile} that share {size['overlap']} voxels; expected twice as many at least")
    *names, last = "redshift", "omega_m", *about["numbers"]
    if sorted(physics) != sorted([*names, last]):
        expected = f"{', '.join(names)} and {last} of the field, and nothing else"
        raise ValueError(f"got {sorted(physics)}; expected {expected}")
    if seed is not None and not about["noise"]:
        raise ValueError(f"seed {seed!r}, but this network is told no noise; expected none")
