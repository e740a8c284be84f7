"""Networks by name, and what each needs around a crop. Importing this does not import torch; building a model does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ConfigError
from .geometry import Geometry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Geometry", "build", "geometry_of"]


def build(
    name: str, options: Mapping[str, Any], in_channels: int, out_channels: int, dims: int, padding: str | None = None
) -> "nn.Module":
    """The network `name`: (B, in_channels, *n) -> (B, out_channels, *m), with `dims` axes n.

    `padding`, where given, replaces the one of the options: the weights are the same for all paddings.
    Raises ConfigError on options that do not fit each other.
    """
    entry = registry.find("model", name, "model.name")
    replaced = {"padding": padding} if padding is not None and "padding" in entry.options else {}
    return registry.load("model", name)(in_channels, out_channels, dims, **{**options, **replaced})


def geometry_of(name: str, options: Mapping[str, Any]) -> Geometry:
    """Halo, factor and padding of the model `name` with these options; raises ConfigError if it has not told them."""
    if name not in (known := registry.entries("geometry")):
        raise ConfigError(
            f'model.name: {name!r} does not say its halo; expected beside it @register("geometry", "{name}")'
            " def geometry(*, ...): return m2m_core.models.Geometry(halo=..., factor=..., padding=...)"
        )
    chosen = {key: options[key] for key in known[name].options if key in options}
    return registry.load("geometry", name)(**chosen)
