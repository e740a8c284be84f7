"""What the numbers of a batch mean, for the losses that have to know."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import ConfigError

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """Units, places and kinds of the target field, (B, C, *n), of a batch.

    quantities: (quantity, channels) of its parts, in order
    cell: edges of a voxel [Mpc/h], one an axis
    around: the axes along which each example is a whole sample that goes on behind its end
    shift, spread: (B, C); where the transform is the identity, physical = normalised * spread + shift
    """

    quantities: tuple[tuple[str, int], ...]
    cell: tuple[float, ...]
    around: tuple[bool, ...]
    shift: Tensor
    spread: Tensor

    @property
    def periodic(self) -> bool:
        """Whether each example is a whole periodic box."""
        return all(self.around)

    def channels(self, quantity: str) -> slice:
        """The channels of the one part that is a `quantity`; raises ConfigError if it is not one."""
        found, first = [], 0
        for name, count in self.quantities:
            found += [slice(first, first + count)] if name == quantity else []
            first += count
        if len(found) != 1:
            raise ConfigError(f"loss: the target has {len(found)} parts that are a {quantity}; expected one")
        return found[0]

    def physical(self, field: Tensor, channels: slice = slice(None)) -> Tensor:
        """Those channels of a normalised field in physical units."""
        shape = (len(field), -1, *[1] * (field.ndim - 2))
        spread, shift = (constants[:, channels].reshape(shape) for constants in (self.spread, self.shift))
        return field[:, channels] * spread + shift

    def in_cells(self, field: Tensor, channels: slice) -> Tensor:
        """Displacements [voxels], axis by axis."""
        moved = self.physical(field, channels)
        cell = moved.new_tensor(self.cell).reshape(1, -1, *[1] * len(self.cell))
        return moved / cell
