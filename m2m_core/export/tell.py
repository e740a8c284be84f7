"""Labels from one file: physical cube in, probabilities or parameters out, slice by slice. Needs torch alone."""

import json
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

__all__ = ["load"]

BATCH = 64  # examples at a time


def load(path: Any, device: str = "cpu") -> tuple[Callable[..., dict[str, Any]], dict[str, Any]]:
    """(tell, about) of a file: tell(cube (C, *space), redshift=, omega_m=) -> answers by name; about: its facts.

    Answers are `probability_<class>`, or `mean_<label>` and `std_<label>`, of the cube: those to the mean over its
    slices. Of each slice there are `places`, (axis, first voxel), and `slices`, (n, about["columns"]) as the network
    told them: logits, log-probabilities, or means and variances. A cube of one channel needs no axis for it.
    """
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(f"{path}: {damaged} is damaged")
        about = json.loads(file.read("archive/extra/about.json"))
    program, cut = move_to_device_pass(torch.export.load(path), device).module(), about["examples"]
    steps = zip(cut["axes"], cut["counts"], strict=True)
    places = [(axis, number * cut["step"]) for axis, count in steps for number in range(count)]

    def tell(cube: Any, **physics: float) -> dict[str, Any]:
        if hasattr(cube, "astype"):  # of numpy, which knows orders of bytes and of axes that torch does not take
            cube = cube.astype("f4", order="C")
        cube, shape = torch.as_tensor(cube, dtype=torch.float32, device=device), about["input"]["shape"]
        cube = cube[None] if list(cube.shape) == shape[1:] and shape[0] == 1 else cube
        physics = {**about["defaults"], **physics}
        if list(cube.shape) != shape or sorted(physics) != ["omega_m", "redshift"]:
            told = f"a cube of {list(cube.shape)} with {sorted(physics)}"
            raise ValueError(f"{told}; expected {shape} with redshift and omega_m of it, and nothing else")
        known = [
            torch.tensor(float(physics[name]), dtype=torch.float64, device=device) for name in ("redshift", "omega_m")
        ]
        each = []
        for first in range(0, len(places), BATCH):
            part = [example(cube, *place, cut["thickness"]) for place in places[first : first + BATCH]]
            several = part if len(part) > 1 else part * 2  # torch takes a batch of one for a constant
            each.append(program(torch.stack(several), *known)[: len(part)])
        slices = torch.cat(each)
        return {**answers(slices.mean(0), about["columns"], about["labels"]), "places": places, "slices": slices}

    return tell, about


def example(cube: torch.Tensor, axis: int, start: int, thickness: int) -> torch.Tensor:
    """Slices of a cube (C, *space), side by side and around the box: (C, thickness, *edges); the whole if axis -1."""
    if axis < 0:
        return cube[:, None]
    length = cube.shape[1 + axis]
    chosen = torch.arange(start, start + thickness, device=cube.device) % length
    return cube.index_select(1 + axis, chosen).movedim(1 + axis, 1).contiguous()


def answers(told: torch.Tensor, columns: list[str], labels: list[str]) -> dict[str, float]:
    """Probabilities, or parameters with their deviations, of the means (columns,) over slices."""
    if columns == ["logit"]:
        return {f"probability_{labels[0]}": float(torch.sigmoid(told[0]))}
    if columns[0].startswith("log_probability"):
        return {f"probability_{c}": float(value) for c, value in enumerate(torch.softmax(told, 0))}
    mean, variance = told.tensor_split(2)
    found = {f"mean_{name}": float(value) for name, value in zip(labels, mean, strict=True)}
    return found | {f"std_{name}": float(value**0.5) for name, value in zip(labels, variance, strict=True)}
