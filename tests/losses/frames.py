"""Batches of fields for losses, with the frame that says what they mean."""

import torch

from m2m_core import losses, registry
from m2m_core.losses.frame import Frame

__all__ = ["computed", "frame_of", "part_of", "random"]


def random(*shape, seed=0):
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def frame_of(field, quantities=None, cell=2.0, periodic=True, shift=0.0, spread=6.0):
    """A frame for `field` (B, C, *n), a displacement unless said otherwise."""
    examples, channels, *space = field.shape
    cell = cell if isinstance(cell, tuple) else (cell,) * len(space)
    constants = [torch.as_tensor(c).expand(examples, channels).clone() for c in (shift, spread)]
    around = (periodic,) * len(space) if isinstance(periodic, bool) else periodic
    return Frame(quantities or (("displacement", channels),), cell, around, *constants)


def part_of(frame, examples):
    """The frame of some examples of a batch."""
    return Frame(frame.quantities, frame.cell, frame.around, frame.shift[examples], frame.spread[examples])


def computed(name, prediction, target, frame=None, **options):
    """The loss called `name`, its other options having their defaults."""
    return losses.build({"name": name, **registry.check("loss", name, options)})(prediction, target, frame)["loss"]
