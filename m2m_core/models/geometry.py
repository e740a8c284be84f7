"""How many voxels a model reads beyond what it returns, and which sizes it takes: arithmetic, without torch.

The U-shaped networks have `depth` halvings and blocks of `convolutions` 3-voxel convolutions: at the levels
0 ... depth-1 one block on the way down and one on the way up, at level `depth` one block; at level 0 it may be `blocks`
in a row. Strided convolutions and their transposes have edge 2 and stride 2, and lose nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from ..errors import ConfigError
from ..options import Count
from ..registry import register

__all__ = [
    "CONVOLUTIONS", "Geometry", "Noise", "Patches", "Pyramid", "Sides", "halo", "origin", "penguin", "racoon", "shrink",
    "strides", "surplus", "u_shape", "unet", "vnet",
]  # fmt: skip

CONVOLUTIONS = 2
DEEPEST = 6
Sides = tuple[tuple[int, int], ...]  # voxels before a crop and behind it, along each axis
TOP = 4  # least edge of the last field of a network that makes numbers of fields; the greatest is below twice that


@dataclass(frozen=True)
class Noise:
    """A field of normal numbers, one channel, that a model adds somewhere on its way.

    scale: its voxels for each input voxel, along an axis
    cut: its voxels that are not needed at either end of the model's input
    """

    scale: int
    cut: int

    def block(self, start: Sequence[int], edges: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First voxel and edges of what an input of `edges` needs, which begins at input voxel `start` of a sample.

        Voxel 0 of the noise begins where voxel 0 of the sample does, so that tiles agree where they overlap.
        """
        return tuple(self.scale * a + self.cut for a in start), tuple(self.scale * n - 2 * self.cut for n in edges)


@dataclass(frozen=True)
class Geometry:
    """What a model needs around a crop, and which crops it takes.

    halo: voxels that valid convolutions read beyond the crop, on each side of each axis
    factor: every edge of a crop is a multiple of it
    padding: "valid" reads the halo; "periodic" closes a whole periodic box on itself and reads the halo of anything
        less; "zero" pads with zeros and reads no halo
    scale: voxels of the output for each voxel of the crop, along an axis
    noise: the fields of noise that the model takes, in their order
    styles: the numbers that the model takes as they are, in its order; if none, any that the config chooses
    needs: how many of them it cannot do without, the first ones
    """

    halo: int
    factor: int
    padding: str
    scale: int = 1
    noise: tuple[Noise, ...] = ()
    styles: tuple[str, ...] = ()
    needs: int = 0

    def runs_as(self, whole: bool) -> str:
        """The padding of the network for crops that are, or are not, whole boxes."""
        return "valid" if self.padding == "periodic" and not whole else self.padding

    def margin(self, whole: bool) -> int:
        """Voxels to read beyond the crop, on each side."""
        return self.halo if self.runs_as(whole) == "valid" else 0

    def reads(self, size: Sequence[int], whole: bool) -> tuple[int, ...]:
        """Edges of the model's input [voxels] for a crop of edges `size`."""
        return tuple(n + 2 * self.margin(whole) for n in size)

    def beyond(self, whole: bool, target_halo: Sides, halo: Sides | None = None, where: str = "crops") -> Sides:
        """What is read around a crop whose target has a `target_halo` around it: `halo`, or as much as is needed.

        Raises ConfigError on a halo that is too small, and on any around a whole box that the network closes on itself.
        """
        margin = self.margin(whole)
        needed = tuple((low + margin, high + margin) for low, high in target_halo)
        if self.runs_as(whole) == "periodic" and (halo or any(map(any, target_halo))):
            text = "periodic, which closes whole boxes on themselves, but there is a halo around them"
            raise ConfigError(f"model.padding: {text}; expected valid or zero")
        for given, least in zip(chain(*(halo or needed)), chain(*needed), strict=True):
            if given < least:
                text = f"{given}, but the model reads {margin} voxels on each side of what it makes"
                raise ConfigError(f"{where}.halo: {text}; expected at least {least}")
        return halo or needed

    def made(self, size: Sequence[int], whole: bool, beyond: Sides) -> tuple[int, ...]:
        """Edges [voxels of the input] of what the network makes of a crop of edges `size` and what lies `beyond` it."""
        margin = self.margin(whole)
        return tuple(n + low + high - 2 * margin for n, (low, high) in zip(size, beyond, strict=True))

    def writes(self, size: Sequence[int]) -> tuple[int, ...]:
        """Edges of the model's output [voxels] for a crop of edges `size`."""
        return tuple(n * self.scale for n in size)

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
        for edge in core:
            if edge < 1 or edge % self.factor:
                near = " or ".join(str(n + margin) for n in self.nearest(edge) or (self.factor,))
                halo = f" plus a halo of {margin // 2} on both sides" if margin else ""
                text = f"edges are multiples of {self.factor}{halo}, nearest {near}"
                raise ConfigError(f"{where}: an input of {tuple(size)}; {text}")
        return self.writes(core)


@dataclass(frozen=True)
class Pyramid(Geometry):
    """Of a network that makes numbers of a square or cubic field: edges are halved until 4, 5, 6 or 7 voxels are left.

    least: how often they are halved at least
    """

    least: int = 1

    def halvings(self, edge: int) -> int | None:
        """How often an edge is halved; None of one that the network does not take."""
        count = max(edge // TOP, 1).bit_length() - 1
        return count if count >= self.least and edge % 2**count == 0 else None

    def nearest(self, size: int) -> tuple[int, ...]:
        """The admissible edges next to `size`, below and above: `size` alone if it is one."""
        below = next((n for n in range(size, 0, -1) if self.halvings(n) is not None), None)
        above = max(size, TOP << self.least)
        while self.halvings(above) is None:
            above += 1
        return tuple(sorted({edge for edge in (below, above) if edge is not None}))

    def admit(self, size: Sequence[int], where: str = "crops.size") -> None:
        """Refuse other edges, and those that differ along the axes; raises ConfigError."""
        if len(set(size)) > 1:
            raise ConfigError(f"{where}: edges {', '.join(map(str, size))}; the model takes equal edges")
        for edge in size[:1]:
            if self.halvings(edge) is None:
                nearest = " or ".join(map(str, self.nearest(edge)))
                takes = f"4, 5, 6 or 7 times a power of two from {2**self.least} on"
                raise ConfigError(f"{where}: {edge}; the model takes {takes}, nearest {nearest}")


@dataclass(frozen=True)
class Patches:
    """What a discriminator looks at: each layer loses voxels of an axis and keeps one of `stride`, the rest is cut.

    layers: (voxels lost, stride) of each
    normalised: edge of the smallest map that a normalisation measures, less that of the map of values
    """

    layers: tuple[tuple[int, int], ...]
    normalised: int = 0

    @property
    def least(self) -> int:
        """The smallest edge that it takes [voxels]: that of the patch that one of its values judges."""
        edge = 1
        for lost, stride in reversed(self.layers):
            edge = edge * stride + lost
        return edge

    def core(self, size: Sequence[int], where: str = "discriminator") -> tuple[int, ...]:
        """Edges of the map of values for a field of edges `size`; raises ConfigError if the field is too small."""
        if any(edge < self.least for edge in size):
            raise ConfigError(f"{where}: a field of {tuple(size)}; edges are at least {self.least}")
        return tuple(self._core(edge) for edge in size)

    def _core(self, edge: int) -> int:
        for lost, stride in self.layers:
            edge = (edge - lost) // stride
        return edge


def shrink(depth: int, convolutions: int = CONVOLUTIONS, blocks: int = 1) -> int:
    """Voxels an axis loses to valid convolutions: 2 for each, times the spacing of its level."""
    return 2 * convolutions * (2 * sum(2**level for level in range(depth)) + 2**depth + 2 * (blocks - 1))


def halo(depth: int, convolutions: int = CONVOLUTIONS, blocks: int = 1) -> int:
    """The least h >= shrink / 2 for which every multiple of 2**depth, plus 2 h, halves evenly at each level.

    Level l is reached with an even edge if the input's is 2 convolutions (blocks - 2) modulo 2**depth.
    """
    least = shrink(depth, convolutions, blocks) // 2
    return least + (convolutions * (blocks - 2) - least) % max(1, 2**depth // 2)


def surplus(depth: int, convolutions: int = CONVOLUTIONS, blocks: int = 1) -> int:
    """Voxels to cut off each side of what is left of an input with halo."""
    return halo(depth, convolutions, blocks) - shrink(depth, convolutions, blocks) // 2


def origin(depth: int, convolutions: int = CONVOLUTIONS, blocks: int = 1) -> int:
    """Where the coarsest voxels of a crop with halo begin, counted from the crop's corner, modulo their edge."""
    return (convolutions * (blocks - 2) - halo(depth, convolutions, blocks)) % 2**depth


def u_shape(depth: int, padding: str, blocks: int = 1) -> Geometry:
    """Halo and sizes of a U-shaped network; raises ConfigError if it is too deep for any field."""
    if depth > DEEPEST:
        raise ConfigError(f"model.depth: {depth}; at most {DEEPEST}, where the halo is {halo(DEEPEST)} voxels")
    return Geometry(0 if padding == "zero" else halo(depth, blocks=blocks), 2**depth, padding)


@register("geometry", "unet")
def unet(*, depth: Count = 2, padding: Literal["valid", "periodic", "zero"] = "valid") -> Geometry:
    """Halo and sizes of the U-Net; raises ConfigError if it is too deep for any field."""
    return u_shape(depth, padding)


@register("geometry", "vnet")
def vnet(*, depth: Count = 2, padding: Literal["valid", "periodic", "zero"] = "valid") -> Geometry:
    """Halo and sizes of the V-Net: those of the U-Net, for its blocks have as many convolutions."""
    return u_shape(depth, padding)


# ---- networks that make numbers of fields


def strides(edge: int) -> tuple[int, int, int]:
    """Of the three convolutions of RACOON, the larger ones first: their product halves an edge as often as it must."""
    halvings = Pyramid(0, 1, "zero", least=3).halvings(edge) or 3
    return tuple(2 ** ((halvings + place) // 3) for place in (2, 1, 0))  # type: ignore[return-value]


@register("geometry", "racoon")
def racoon() -> Geometry:
    """Edges of the fields that RACOON takes: three convolutions, each of stride 2 at least."""
    return Pyramid(0, 1, "zero", least=3)


@register("geometry", "penguin")
@register("geometry", "o3")
def penguin() -> Geometry:
    """Edges of the fields that PENGUIN and o3 take: one stage for each halving."""
    return Pyramid(0, 1, "zero")
