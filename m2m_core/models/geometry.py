"""How many voxels a model reads beyond what it returns, and which sizes it takes: arithmetic, without torch.

The U-shaped networks have `depth` halvings and blocks of `convolutions` 3-voxel convolutions: at the levels
0 ... depth-1 one block on the way down and one on the way up, at level `depth` one block. Strided convolutions and
their transposes have edge 2 and stride 2, and lose nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError
from ..options import Count
from ..registry import register

__all__ = ["CONVOLUTIONS", "Geometry", "halo", "origin", "shrink", "surplus", "unet", "vnet"]

CONVOLUTIONS = 2
DEEPEST = 6


@dataclass(frozen=True)
class Geometry:
    """What a model needs around a crop, and which crops it takes.

    halo: voxels that valid convolutions read beyond the crop, on each side of each axis
    factor: every edge of a crop is a multiple of it
    padding: "valid" reads the halo; "periodic" closes a whole periodic box on itself and reads the halo of anything
        less; "zero" pads with zeros and reads no halo
    """

    halo: int
    factor: int
    padding: str

    def runs_as(self, whole: bool) -> str:
        """The padding of the network for crops that are, or are not, whole boxes."""
        return "valid" if self.padding == "periodic" and not whole else self.padding

    def margin(self, whole: bool) -> int:
        """Voxels to read beyond the crop, on each side."""
        return self.halo if self.runs_as(whole) == "valid" else 0

    def reads(self, size: Sequence[int], whole: bool) -> tuple[int, ...]:
        """Edges of the model's input [voxels] for a crop of edges `size`."""
        return tuple(n + 2 * self.margin(whole) for n in size)

    def nearest(self, size: int) -> tuple[int, ...]:
        """The admissible edges next to `size`, below and above: `size` alone if it is one."""
        below = size // self.factor * self.factor
        above = -(-size // self.factor) * self.factor
        return tuple(sorted({edge for edge in (below, above) if edge > 0}))

    def admit(self, size: Sequence[int], where: str = "crops.size") -> None:
        """Refuse a crop whose edges are no multiples of `factor`; raises ConfigError with the nearest edges."""
        for edge in size:
            if edge not in (valid := self.nearest(edge)):
                nearest = " or ".join(map(str, valid))
                raise ConfigError(f"{where}: {edge}; the model takes multiples of {self.factor}, nearest {nearest}")

    def core(self, size: Sequence[int], where: str = "model") -> tuple[int, ...]:
        """Edges of the output for an input of edges `size`; raises ConfigError if the model cannot take it."""
        margin = 2 * self.margin(whole=True)
        core = tuple(edge - margin for edge in size)
        if any(edge < 1 or edge % self.factor for edge in core):
            halo = f" plus a halo of {margin // 2} on both sides" if margin else ""
            raise ConfigError(f"{where}: an input of {tuple(size)}; edges are multiples of {self.factor}{halo}")
        return core


def shrink(depth: int, convolutions: int = CONVOLUTIONS) -> int:
    """Voxels an axis loses to valid convolutions: 2 for each, times the spacing of its level."""
    return 2 * convolutions * (2 * sum(2**level for level in range(depth)) + 2**depth)


def halo(depth: int, convolutions: int = CONVOLUTIONS) -> int:
    """The least h >= shrink / 2 for which every multiple of 2**depth, plus 2 h, halves evenly at each level.

    Level l is reached with an even edge if the input's is -2 convolutions modulo 2**depth.
    """
    least = shrink(depth, convolutions) // 2
    return least + (-convolutions - least) % max(1, 2**depth // 2)


def surplus(depth: int, convolutions: int = CONVOLUTIONS) -> int:
    """Voxels to cut off each side of what is left of an input with halo."""
    return halo(depth, convolutions) - shrink(depth, convolutions) // 2


def origin(depth: int, convolutions: int = CONVOLUTIONS) -> int:
    """Where the coarsest voxels of a crop with halo begin, counted from the crop's corner, modulo their edge."""
    return (-halo(depth, convolutions) - convolutions) % 2**depth


@register("geometry", "unet")
def unet(*, depth: Count = 2, padding: Literal["valid", "periodic", "zero"] = "valid") -> Geometry:
    """Halo and sizes of the U-Net; raises ConfigError if it is too deep for any field."""
    if depth > DEEPEST:
        raise ConfigError(f"model.depth: {depth}; at most {DEEPEST}, where the halo is {halo(DEEPEST)} voxels")
    return Geometry(0 if padding == "zero" else halo(depth), 2**depth, padding)


@register("geometry", "vnet")
def vnet(*, depth: Count = 2, padding: Literal["valid", "periodic", "zero"] = "valid") -> Geometry:
    """Halo and sizes of the V-Net: those of the U-Net, for its blocks have as many convolutions."""
    return unet(depth=depth, padding=padding)
