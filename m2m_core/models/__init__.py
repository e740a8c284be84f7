"""Networks by name, and what each needs around a crop. Importing this does not import torch; building a model does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ConfigError
from .geometry import Geometry, Patches, Pyramid, Sides

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Geometry", "Patches", "Pyramid", "Sides", "build", "build_discriminator", "build_encoder", "geometry_of",
    "is_styled", "known_geometry", "patches_of",
]  # fmt: skip

STYLES = "styles"  # the fourth argument of a builder whose network takes (x, style)


def build(
    name: str,
    options: Mapping[str, Any],
    in_channels: int,
    out_channels: int,
    dims: int,
    padding: str | None = None,
    styles: int = 0,
) -> "nn.Module":
    """The network `name`: (B, in_channels, *n) -> (B, out_channels, *m), with `dims` axes n.

    `padding`, where given, replaces the one of the options: the weights are the same for all paddings. With `styles`
    the network takes (x, style), style (B, styles). Raises ConfigError on options that do not fit each other, and on
    styles for a model that takes none, or none for one that does.
    """
    entry = registry.find("model", name, "model.name")
    if bool(styles) != is_styled(name):
        text = "takes no styles, but there are some" if styles else "needs styles, but there are none"
        known = [other for other in registry.entries("model") if is_styled(other) == bool(styles)]
        raise ConfigError(f"model.name: {name!r} {text}; expected one of {', '.join(known)}")
    replaced = {"padding": padding} if padding is not None and "padding" in entry.options else {}
    numbers = (in_channels, out_channels, dims, *([styles] if styles else []))
    return registry.load("model", name)(*numbers, **{**options, **replaced})


def is_styled(name: str) -> bool:
    """Whether the network `name` takes a style beside the field: its builder says so by an argument `styles`."""
    return name not in registry.entries("encoder") and STYLES in registry.find("model", name, "model.name").arguments


def build_discriminator(name: str, options: Mapping[str, Any], channels: int, dims: int) -> "nn.Module":
    """The network `name` that judges fields: (B, channels, *n) -> (B, 1, *m), m as its `patches` say."""
    registry.find("discriminator", name)
    return registry.load("discriminator", name)(channels, dims, **options)


def build_encoder(
    name: str, options: Mapping[str, Any], in_channels: int, outputs: int, size: Sequence[int]
) -> "nn.Module":
    """The network `name` that makes numbers of fields: (B, in_channels, *size) -> (B, outputs).

    Raises ConfigError on edges that it does not take.
    """
    registry.find("encoder", name, "model.name")
    geometry_of(name, options).admit(size)
    return registry.load("encoder", name)(in_channels, outputs, tuple(size), **options)


def patches_of(name: str, options: Mapping[str, Any]) -> Patches:
    """What the discriminator `name` with these options looks at; raises ConfigError if it has not told it."""
    entry = registry.find("patches", name)
    return registry.load("patches", name)(**{key: options[key] for key in entry.options if key in options})


def geometry_of(name: str, options: Mapping[str, Any]) -> Geometry:
    """Halo, factor and padding of the model `name` with these options; raises ConfigError if it has not told them."""
    if name not in (known := registry.entries("geometry")):
        raise ConfigError(
            f'model.name: {name!r} does not say its halo; expected beside it @register("geometry", "{name}")'
            " def geometry(*, ...): return m2m_core.models.Geometry(halo=..., factor=..., padding=...)"
        )
    chosen = {key: options[key] for key in known[name].options if key in options}
    return registry.load("geometry", name)(**chosen)


def known_geometry(model: Mapping[str, Any]) -> Geometry | None:
    """That of a model with its options, before any job runs, so None of a plugin; it may take less than the model."""
    options = dict(model)
    name = options.pop("name")
    if name not in registry.entries("geometry"):
        return geometry_of(name, options)
    options = registry.taken("geometry", name, options, "model")
    return geometry_of(name, options) if registry.is_ours("geometry", name) else None
