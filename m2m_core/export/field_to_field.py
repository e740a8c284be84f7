"""A trained field-to-field network with its normalisation, as torch alone can run it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from .. import models
from ..data.catalogue import Sample
from ..data.normalize import normals
from ..data.transforms import transform
from ..errors import ConfigError
from ..registry import register
from ..tasks.field_to_field import FieldToField
from .normalize import Normal, Several, normal
from .program import Exportable
from .styles import Styles

__all__ = ["Emulator", "field_to_field"]

UNITS = {"displacement": "Mpc/h"}
LEAST = 2  # voxels of the coarsest level along an axis: torch takes sizes of one for constants


class Emulator(nn.Module):
    """Normalise, predict, and undo the normalisation of the target; a styled network is told its `styles` as well."""

    def __init__(
        self,
        network: nn.Module,
        before: Normal | Several,
        after: Normal | Several,
        masked: bool,
        styles: Styles | None = None,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after, self.masked = network, before, after, masked
        self.styles = styles

    def forward(self, field: Tensor, redshift: Tensor, omega_m: Tensor, numbers: Tensor | None = None) -> Tensor:
        """(C, *(n + 2 halo)), two 0-dimensional float64, and as one (S,) float64 what else styles need -> (C', *n).

        Where masked, not finite is the mean.
        """
        x = self.before(field, redshift, omega_m)
        if self.masked:
            x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        style = (self.styles(redshift, omega_m, numbers),) if self.styles is not None else ()
        return self.after.inverse(self.network(x[None], *style)[0], redshift, omega_m)


@register("export", "field_to_field")
def field_to_field(task: FieldToField) -> Exportable:
    """The network as inference runs it, on whole boxes or on parts with their halo; float32 throughout."""
    if task.geometry.noise or task.geometry.scale != 1:
        raise ConfigError("model: a network that is told noise, or makes finer fields, has no exported form yet")
    sample = task.samples().predict[0]
    network, tile, halo = task.network(sample)
    options = dict(task.settings["model"])
    factor = models.geometry_of(options.pop("name"), options).factor
    styles = Styles(task.styles, sample.parameters) if task.styles else None
    emulator = Emulator(network, *_normals(task), task.masked, styles)
    numbers = styles.own if styles else []
    told = [None] if numbers else []  # one tensor of all
    whole = sample.periodic and tile == sample.shape("input")[1:]
    size = {"axes": len(tile), "halo": halo, "multiple_of": factor, "least": LEAST * factor, "tile": list(tile)}
    sides = {side: _described(sample, side, task) for side in ("input", "target")}
    return Exportable(
        module=emulator,
        example=partial(_example, emulator, sample, halo),
        sizes=[[factor * (LEAST + first + axis) for axis in range(len(tile))] for first in (1, 0)],
        shapes=({axis: _free(axis, factor, halo) for axis in range(1, len(tile) + 1)}, None, None, *told),
        only=tile,
        about={**sides, "size": {**size, "whole": whole}, "periodic": sample.periodic, "numbers": numbers},
    )


def _normals(task: FieldToField) -> tuple[Normal | Several, Normal | Several]:
    training, chosen = task.study.catalogue.training(task.study.fold), task.settings["normalize"]
    before, after = (normal(chosen[side], task.normal[side], training) for side in ("input", "target"))
    return before, after


def _free(axis: int, factor: int, halo: int) -> Any:
    """The edges that the network admits: multiples of its factor, and a halo on both sides."""
    edge: Any = Dim(f"n{axis}", min=LEAST)
    edge = edge if factor == 1 else factor * edge
    return edge + 2 * halo if halo else edge


def _example(emulator: Emulator, sample: Sample, halo: int, edges: Sequence[int]) -> tuple[Tensor, ...]:
    """A field of normal numbers, in physical units, with the redshift and what else is told of `sample`."""
    shape = sample.shape("input")[0], *(edge + 2 * halo for edge in edges)
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    physics = [torch.tensor(x, dtype=torch.float64) for x in (sample.redshift, sample.omega_m)]
    field, own = emulator.before.inverse(numbers, *physics), emulator.styles.own if emulator.styles else []
    told = [torch.tensor([sample.parameters[name] for name in own], dtype=torch.float64)] if own else []
    return field, *physics, *told


def _described(sample: Sample, side: str, task: FieldToField) -> dict[str, Any]:
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
