"""Displacements and velocities together, the velocity as the derivative of the displacement with respect to growth.

A particle at q + psi(q, D) moves with the velocity a dpsi/dt = a D f H dpsi/dD, so what a network says of psi at one
growth factor D says its velocity too (Jamieson et al. 2024, arXiv:2408.07699); the form of two networks is that of
Jamieson et al. 2023 (arXiv:2206.04594).
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..options import Count
from ..registry import register
from ._convolution import Layers, Residual
from ._u import U
from .geometry import Geometry, u_shape

__all__ = ["DisplacementVelocity", "displacement_velocity", "geometry"]

STYLES = "omega_m", "growth"
MATTER, STEEPNESS = 0.3, 5.0  # the middle of Omega_m, and what brings its usual range to about +-1


@register("geometry", "displacement_velocity")
def geometry(
    *, depth: Count = 3, blocks: Count = 2, padding: Literal["valid", "periodic", "zero"] = "valid"
) -> Geometry:
    """Halo and sizes of either network, and its styles; raises ConfigError if it is too deep for any field."""
    return replace(u_shape(depth, padding, blocks), styles=STYLES, needs=1)


class DisplacementVelocity(nn.Module):
    """(B, d, *n), style (B, 2) of Omega_m and D -> (B, 2 d, *m), displacement then velocity; see the builder.

    displacement: (D x, style) -> displacement at D, with x the linear displacement at D = 1
    velocity: (x, style) -> velocity; without it that is the derivative, with it the displacement is of x
    parts: 2 if the input holds displacement and velocity, 1 if both networks begin with the displacement
    """

    def __init__(self, displacement: nn.Module, velocity: nn.Module | None, per_growth: bool, parts: int = 1) -> None:
        super().__init__()
        self.displacement, self.velocity, self.per_growth, self.parts = displacement, velocity, per_growth, parts
        self.geometry = replace(displacement.geometry, styles=STYLES, needs=1)  # type: ignore[type-var]

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        self.geometry.core(x.shape[2:])  # type: ignore[union-attr,operator]
        if self.velocity is not None:
            style, parts = _centred(style), x.chunk(self.parts, 1)
            return torch.cat([self.displacement(parts[0], style), self.velocity(parts[-1], style)], 1)
        matter, growth = style[:, :1], style[:, 1:].clone()  # not a view, whose tangent lay otherwise

        def displaced(growth: Tensor) -> Tensor:
            return self.displacement(_along(growth, x) * x, _centred(torch.cat([matter, growth], 1)))

        moved, velocity = torch.func.jvp(displaced, (growth,), (torch.ones_like(growth),))
        return torch.cat([moved / _along(growth, moved) if self.per_growth else moved, velocity], 1)


def _along(growth: Tensor, x: Tensor) -> Tensor:
    return growth.reshape(-1, *[1] * (x.ndim - 1))


def _centred(style: Tensor) -> Tensor:
    """Omega_m, and D if it is there, around zero."""
    return torch.cat([(style[:, :1] - MATTER) * STEEPNESS, style[:, 1:] - 1], 1)


@register("model", "displacement_velocity")
def displacement_velocity(
    in_channels: int,
    out_channels: int,
    dims: int,
    styles: int,
    *,
    velocity: Literal["derivative", "network"] = "derivative",
    displacement: Literal["per_growth", "absolute"] = "per_growth",
    width: Count = 8,
    depth: Count = 3,
    blocks: Count = 2,
    padding: Literal["valid", "periodic", "zero"] = "valid",
    activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu"] = "leaky_relu",
    hidden: Count | None = None,
) -> DisplacementVelocity:
    """Styled V-Net of displacements; velocities are its derivative with respect to growth, or of a second network.

    The input is the linear displacement at D = 1, the target displacement then velocity. With L the unit of the input,
    the velocity is in units of L times D H f / (1 + z), so that linear theory is the input itself. The style is
    Omega_m and the growth factor D, as they are.

    Options:
        velocity: derivative of the displacement with respect to growth, or a network of its own
        displacement: unit of the predicted one, per_growth the input's times D, absolute the input's
        width: channels at each level; 64 in the published emulators
        depth: how often the resolution is halved, at most 6
        blocks: residual blocks in a row at the finest level, on either side
        padding: valid reads a halo, periodic closes a whole periodic box on itself, zero pads with zeros
        activation: nonlinearity of the hidden layers; silu is also called Swish
        hidden: channels between the two convolutions of a block; the larger of before and after it unless given
    """
    _check(in_channels, out_channels, styles, velocity == "network")
    each = out_channels // 2
    layers = Layers(dims, padding, activation=activation, hidden=hidden, styles=styles)
    options = {"widths": [width] * (depth + 1), "bypass": True, "blocks": blocks}
    networks = [U(Residual, each, each, layers, **options) for _ in range(1 + (velocity == "network"))]
    other = networks[1] if networks[1:] else None
    return DisplacementVelocity(networks[0], other, displacement == "per_growth", in_channels // each)


def _check(in_channels: int, out_channels: int, styles: int, apart: bool) -> None:
    if 2 * in_channels != out_channels and not (apart and in_channels == out_channels and in_channels % 2 == 0):
        expected = "twice as many" + (", or displacement and velocity there too" if apart else "")
        raise ConfigError(f"model: {out_channels} channels from {in_channels}; expected {expected}")
    if styles != 2 and not (apart and styles == 1):
        expected = "Omega_m and the growth factor D" + (", or Omega_m alone" if apart else "")
        raise ConfigError(f"model: {styles} styles; expected {expected}")
