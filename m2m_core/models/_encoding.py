"""Layers that the networks which make numbers of fields share, in two and three dimensions."""

from torch import Tensor, nn

from ..errors import ConfigError

__all__ = ["Encoder", "activated", "convolution", "normalized"]

SLOPE = 0.2  # of the leaky rectifier below zero
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALIZATIONS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}


class Encoder(nn.Module):
    """Convolutions, then layers of their flattened result: (B, C, *edges) -> (B, outputs)."""

    def __init__(self, convs: nn.Sequential, head: nn.Sequential, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.convs, self.head = convs, head
        self.shape = channels, *size

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise ConfigError(f"model: an input of {tuple(x.shape[1:])}; expected {self.shape}")
        return self.head(self.convs(x).flatten(1))


def activated(name: str) -> nn.Module:
    """A fresh layer by name."""
    return nn.LeakyReLU(SLOPE) if name == "leaky_relu" else ACTIVATIONS[name]()


def convolution(dims: int) -> type[nn.Module]:
    """The convolution over `dims` axes."""
    return CONVOLUTIONS[dims]


def normalized(name: str, dims: int, channels: int) -> list[nn.Module]:
    """Batch normalisation of fields with `dims` axes (1: of numbers), or nothing."""
    return [NORMALIZATIONS[dims](channels)] if name == "batch" else []
