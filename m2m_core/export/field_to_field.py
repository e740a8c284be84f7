"""A trained field-to-field network with its normalisation, as torch alone can run it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from .. import registry
from ..crops import per_axis
from ..data.catalogue import Sample
from ..data.normalize import normals
from ..data.transforms import transform
from ..models import Sides
from ..registry import register
from ..tasks.field_to_field import FieldToField
from .noise import Noise
from .normalize import Normal, Several, normal
from .program import Exportable
from .styles import Styles

__all__ = ["Emulator", "described", "field_to_field"]

UNITS = {"displacement": "Mpc/h"}
LEAST = 2  # voxels of the coarsest level along an axis: torch takes sizes of one for constants


class Emulator(nn.Module):
    """Normalise, predict, and undo the normalisation of the target.

    told: the `styles` and the `noise` that the network is told as well, if it is
    cut: voxels of the output (before, behind) that are left out, one pair an axis
    """

    def __init__(
        self,
        network: nn.Module,
        before: Normal | Several,
        after: Normal | Several,
        masked: bool,
        told: tuple[Styles | None, Noise | None] = (None, None),
        cut: Sides = (),
    ) -> None:
        super().__init__()
        self.network, self.before, self.after, self.masked, self.cut = network, before, after, masked, cut
        self.styles, self.noise = told

    def forward(
        self,
        field: Tensor,
        redshift: Tensor,
        omega_m: Tensor,
        numbers: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Tensor:
        """(C, *(n + 2 halo)), two 0-dimensional float64, as one (S,) float64 what else styles need, and where the noise
        is, see `Noise` -> (C', *n).

        Where masked, not finite is the mean.
        """
        x = self.before(field, redshift, omega_m)
        if self.masked:
            x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        told: list[Any] = [self.styles(redshift, omega_m, numbers)] if self.styles is not None else []
        told += [self.noise(x[None], place)] if self.noise is not None else []
        made = self.network(x[None], *told)[0]
        for axis, (low, high) in enumerate(self.cut, 1):
            made = made.narrow(axis, low, made.shape[axis] - low - high)
        return self.after.inverse(made, redshift, omega_m)


@register("export", "field_to_field")
def field_to_field(task: FieldToField) -> Exportable:
    """The network as inference runs it, on whole boxes or on parts with their halo; float32 throughout."""
    sample, geometry = task.samples().predict[0], task.geometry
    network, tile, margin = task.network(sample)
    shown = task.study.crops.shown(geometry, margin)
    styles = Styles(task.styles, sample.parameters) if task.styles else None
    noise = Noise(geometry.noise) if geometry.noise else None
    cut = tuple((geometry.scale * (low - margin), geometry.scale * (high - margin)) for low, high in shown)
    least = [_least(geometry.factor, low + high - 2 * margin) for low, high in shown]
    told = styles, noise
    emulator = Emulator(_twin(network, task), *_normals(task), task.masked, told, cut if any(map(any, cut)) else ())
    numbers = styles.own if styles else []
    free = {axis: _free(axis, geometry.factor, margin, n) for axis, n in enumerate(least, 1)}
    given = ([None] if numbers or noise else []) + ([None] if noise else [])
    return Exportable(
        module=emulator,
        example=partial(_example, emulator, sample, margin),
        sizes=[[geometry.factor * (n + first + axis) for axis, n in enumerate(least)] for first in (1, 0)],
        shapes=(free, None, None, *given),
        only=geometry.made(tile, sample.periodic and tile == sample.shape("input")[1:], shown),
        about=_about(task, sample, tile, margin, numbers),
    )


def _twin(network: nn.Module, task: FieldToField) -> nn.Module:
    """What torch exports in place of a network whose sizes it would fix."""
    name = task.settings["model"]["name"]
    return registry.load("torch_model", name)(network) if name in registry.entries("torch_model") else network


def _about(
    task: FieldToField, sample: Sample, tile: tuple[int, ...], margin: int, numbers: Sequence[str]
) -> dict[str, Any]:
    """What the loader must know, and what goes in and out."""
    shown, chosen, geometry = task.study.crops.shown(task.geometry, margin), task.settings["inference"], task.geometry
    whole = sample.periodic and tile == sample.shape("input")[1:]
    alike = len({n for sides in shown for n in sides}) == 1
    size = {
        "axes": len(tile),
        "halo": shown[0][0] if alike else shown,
        "margin": margin,
        "multiple_of": geometry.factor,
        "least": LEAST * geometry.factor,
        "tile": list(tile),
        "overlap": list(per_axis(chosen["overlap"], len(tile), "inference.overlap")),
        "whole": whole,
        "closed": geometry.runs_as(whole) == "periodic",
        "scale": geometry.scale,
    }
    periodic = sample.periodic if len(set(sample.around)) == 1 else list(sample.around)
    noise = {"seed": chosen["seed"]} if geometry.noise else None
    sides = {side: described(sample, side, task) for side in ("input", "target")}
    return {**sides, "size": size, "periodic": periodic, "numbers": list(numbers), "noise": noise}


def _normals(task: FieldToField) -> tuple[Normal | Several, Normal | Several]:
    training, chosen = task.study.catalogue.training(task.study.fold), task.settings["normalize"]
    before, after = (normal(chosen[side], task.normal[side], training) for side in ("input", "target"))
    return before, after


def _least(factor: int, more: int) -> int:
    """The coarsest voxels along an axis that an emulator needs where it cuts off so many voxels `more`."""
    return LEAST - (-more // factor)


def _free(axis: int, factor: int, margin: int, least: int) -> Any:
    """The edges that the network admits: multiples of its factor, and what it reads beyond on both sides."""
    edge: Any = Dim(f"n{axis}", min=least)
    edge = edge if factor == 1 else factor * edge
    return edge + 2 * margin if margin else edge


def _example(emulator: Emulator, sample: Sample, margin: int, edges: Sequence[int]) -> tuple[Tensor | None, ...]:
    """A field of normal numbers, in physical units, of which `edges` are left, and what is told of `sample`."""
    shape = sample.shape("input")[0], *(edge + 2 * margin for edge in edges)
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    physics = [torch.tensor(x, dtype=torch.float64) for x in (sample.redshift, sample.omega_m)]
    field, own = emulator.before.inverse(numbers, *physics), emulator.styles.own if emulator.styles else []
    told: list[Any] = [torch.tensor([sample.parameters[name] for name in own], dtype=torch.float64)] if own else []
    if emulator.noise is not None:
        told = [*(told or [None]), torch.tensor([1, *[-1] * len(edges), *sample.shape("input")[1:]])]
    return field, *physics, *told


def described(sample: Sample, side: str, task: Any) -> dict[str, Any]:
    """What the channels of a field are, in which units, and how the program normalises them."""
    quantities = [
        {"quantity": quantity, "channels": channels, "unit": UNITS.get(quantity, "")}
        for quantity, channels in sample.quantities(side)
    ]
    chosen, statistics = task.settings["normalize"][side], task.study.statistics.get(side)
    parts = {name: {**part, "domain": transform(part["transform"]).domain} for name, part in normals(chosen).items()}
    return {
        "channels": sample.shape(side)[0],
        "quantities": quantities,
        "normalize": {**parts.get("", {"parts": parts}), "statistics": statistics},
    }
