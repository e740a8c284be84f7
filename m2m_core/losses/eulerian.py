"""Losses of what displacements and velocities do to the density and the momentum of matter, cloud in cell.

Densities are in units of the mean one, on a mesh as fine as the lattice. An example that is no whole periodic box has
neighbours that nobody knows: there the particles of the crop alone are painted, moved by what they move apart from the
target's mean over the crop, on a mesh with a margin. What goes beyond it comes in on the other side of that mesh, in
prediction and target alike, so that no particle is left out of the comparison.
"""

import math

import torch
from torch import Tensor

from ..options import Index, Positive
from ..registry import register
from .frame import Frame
from .painting import paint
from .pairs import apart, pair

__all__ = ["eulerian", "lagrangian_eulerian", "momentum"]


@register("loss", "eulerian")
def eulerian(prediction: Tensor, target: Tensor, frame: Frame, *, margin: Index = 4) -> Tensor:
    """Mean squared difference of the densities to which the displacements of prediction and target move matter.

    Options:
        margin: width of the mesh beyond a crop that is no whole periodic box [voxels]
    """
    return _of_density(*pair(prediction, target), frame, margin).mean()


@register("loss", "lagrangian_eulerian")
def lagrangian_eulerian(
    prediction: Tensor, target: Tensor, frame: Frame, *, exponent: Positive = 3.0, margin: Index = 4
) -> Tensor:
    """log(L_lag^3 L_eul), L_lag and L_eul being mean squared differences of displacements and of densities.

    The mean over examples, each with a logarithm of its own, as with one crop on each GPU in
    Jamieson et al. 2023, arXiv:2206.04594. Neither has to be weighed against the other: a logarithm has no unit. Its
    least value is that of float32's smallest numbers.

    Options:
        exponent: of L_lag
        margin: width of the mesh beyond a crop that is no whole periodic box [voxels]
    """
    prediction, target = pair(prediction, target)
    moves = frame.channels("displacement")
    lagrangian = apart(prediction[:, moves], target[:, moves])
    return (exponent * _log(lagrangian) + _log(_of_density(prediction, target, frame, margin))).mean()


@register("loss", "momentum")
def momentum(prediction: Tensor, target: Tensor, frame: Frame, *, margin: Index = 4) -> Tensor:
    """Mean squared difference of the momenta, sums over particles of their velocities where the displacements put them.

    The target has a part that is a displacement and one that is a vector, the velocity; momenta are in units of the
    mean density times the root mean square of the spreads by which the velocity is normalised.

    Options:
        margin: width of the mesh beyond a crop that is no whole periodic box [voxels]
    """
    prediction, target = pair(prediction, target)
    part = frame.channels("vector")
    unit = frame.spread[:, part].square().mean(1).sqrt().reshape(-1, *[1] * (target.ndim - 1))
    carried = [frame.physical(field, part) / unit for field in (prediction, target)]
    return _unlike(*_moves(prediction, target, frame), frame, margin, *carried).mean()


def _of_density(prediction: Tensor, target: Tensor, frame: Frame, margin: int) -> Tensor:
    """(B,)."""
    return _unlike(*_moves(prediction, target, frame), frame, margin)


def _moves(prediction: Tensor, target: Tensor, frame: Frame) -> tuple[Tensor, Tensor]:
    """Displacements [mesh cells], of crops apart from the target's mean."""
    part = frame.channels("displacement")
    of, to = frame.in_cells(prediction, part), frame.in_cells(target, part)
    if frame.periodic:
        return of, to
    mean = to.mean(tuple(range(2, to.ndim)), keepdim=True)
    return of - mean, to - mean


def _unlike(
    of: Tensor, to: Tensor, frame: Frame, margin: int, carried: Tensor | None = None, other: Tensor | None = None
) -> Tensor:
    """Squared differences of what both paint, (B,): their sum over the mesh for each particle and channel."""
    width = 0 if frame.periodic else margin
    wrong = paint(of, carried, margin=width) - paint(to, other, margin=width)
    return wrong.square().flatten(1).sum(1) / (wrong.shape[1] * math.prod(to.shape[2:]))


def _log(value: Tensor) -> Tensor:
    return value.clamp(min=torch.finfo(value.dtype).tiny).log()
