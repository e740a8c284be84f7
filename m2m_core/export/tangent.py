"""Velocities by derivative once more, in a form whose size torch can leave free.

Where torch differentiates forwards, `torch.export` fixes every size. So the displacement and its derivative go through
the network side by side, as two examples: what is linear treats them alike, and the other layers are replaced here.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models._convolution import StyledConvolution
from ..models.displacement_velocity import DisplacementVelocity, _along, _centred
from ..registry import register

__all__ = ["Tangent", "displacement_velocity"]

BACKWARD = {  # g, x, layer -> g times the derivative at x
    nn.LeakyReLU: lambda g, x, layer: torch.ops.aten.leaky_relu_backward(g, x, layer.negative_slope, False),
    nn.ReLU: lambda g, x, layer: torch.ops.aten.threshold_backward(g, x, 0),
    nn.SiLU: lambda g, x, layer: torch.ops.aten.silu_backward(g, x),
    nn.GELU: lambda g, x, layer: torch.ops.aten.gelu_backward(g, x),
    nn.ELU: lambda g, x, layer: torch.ops.aten.elu_backward(g, layer.alpha, 1.0, 1.0, False, x),
}


class Tangent(nn.Module):
    """The twin of a `DisplacementVelocity` whose velocity is a derivative: (1, d, *n), (1, 2) -> (1, 2 d, *m)."""

    def __init__(self, network: DisplacementVelocity) -> None:
        super().__init__()
        self.displacement, self.per_growth = copy.deepcopy(network.displacement), network.per_growth
        _replace(self.displacement)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        growth = style[:, 1:]
        fields = torch.cat([_along(growth, x) * x, x])  # D x, and its derivative by D
        styles = torch.cat([_centred(style), torch.tensor([[0.0, 1.0]]).to(style)])
        moved, velocity = self.displacement(fields, styles).split(1)
        return torch.cat([moved / _along(growth, moved) if self.per_growth else moved, velocity], 1)


class Convolution(StyledConvolution):
    """A layer of a field and its derivative, (2, before, *n), told the style and its derivative, (2, S)."""

    def __init__(self, layer: StyledConvolution) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(layer.__dict__)  # its weights, and what goes before it

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = functional.linear(style[:1], self.style_weight, self.style_bias)
        weight, change = torch.func.jvp(self._weights, (scale,), (functional.linear(style[1:], self.style_weight),))
        convolve = getattr(functional, f"conv{'_transpose' if self.up else ''}{self.dims}d")
        of_field = convolve(x[:1], weight, self.bias, **self.options)
        of_change = convolve(x[1:], weight, **self.options) + convolve(x[:1], change, **self.options)
        return torch.cat([of_field, of_change])


class Activation(nn.Module):
    """A nonlinearity of a field and its derivative, (2, C, *n)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        of_change = BACKWARD[type(self.layer)](x[1:], x[:1], self.layer)
        return torch.cat([self.layer(x[:1].clone()), of_change])


def _replace(module: nn.Module) -> None:
    for name, layer in module.named_children():
        if isinstance(layer, StyledConvolution):
            setattr(module, name, Convolution(layer))
        elif type(layer) in BACKWARD:
            setattr(module, name, Activation(layer))
        else:
            _replace(layer)


@register("torch_model", "displacement_velocity")
def displacement_velocity(network: DisplacementVelocity) -> nn.Module:
    """The network itself if it has one for velocities, else its twin."""
    return network if network.velocity is not None else Tangent(network)
