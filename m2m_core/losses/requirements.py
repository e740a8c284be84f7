"""What losses ask of the target field, so that the others are refused before any job runs: arithmetic, without torch.

Beside a loss that asks for something stands a function of its name, with those of its options that matter.
"""

from ..errors import ConfigError
from ..options import Annotated, Field
from ..registry import register
from .target import Target, shells

__all__ = ["displacement", "labels", "spectral", "velocity"]


@register("requirement", "bce")
@register("requirement", "bce_with_logits")
@register("requirement", "cross_entropy")
@register("requirement", "dice")
@register("requirement", "hinge_embedding")
@register("requirement", "kl_div")
@register("requirement", "poisson_nll")
@register("requirement", "soft_margin")
@register("requirement", "wasserstein")
def labels(target: Target) -> None:
    """Probabilities, labels or counts as they are; raises ConfigError if they are normalised."""
    if (target.transform, target.scaling) != ("identity", "identity"):
        found = target.scaling if target.transform == "identity" else target.transform
        raise ConfigError(f"takes probabilities, labels or counts; normalize.target: {found}; expected identity")


@register("requirement", "eulerian")
@register("requirement", "lagrangian_eulerian")
def displacement(target: Target) -> None:
    """One displacement along each axis, in physical units; raises ConfigError otherwise."""
    _one(target, "displacement")


@register("requirement", "momentum")
def velocity(target: Target) -> None:
    """One displacement and one vector along each axis, in physical units; raises ConfigError otherwise."""
    _one(target, "displacement")
    _one(target, "vector")


@register("requirement", "spectral")
def spectral(target: Target, *, k_min: Annotated[float, Field(ge=0, le=1.0e15)] = 0.0) -> None:
    """A shell between k_min and the Nyquist frequency; raises ConfigError if there is none."""
    if target.space is not None and target.cell is not None:
        shells(target.space, target.cell, k_min)


def _one(target: Target, quantity: str) -> None:
    if target.transform != "identity":
        text = f"needs values in physical units; normalize.target.transform: {target.transform}"
        raise ConfigError(f"{text}; expected identity")
    if target.quantities is None:
        return
    found = [channels for name, channels in target.quantities if name == quantity]
    dims = len(target.space) if target.space else None
    if len(found) != 1 or None not in (dims, found[0]) and found[0] != dims:
        kinds = ", ".join(name + f" of {channels}" * (channels is not None) for name, channels in target.quantities)
        wanted = f"one {quantity} in it" + f" of {dims} channels" * (dims is not None)
        raise ConfigError(f"the target is {kinds}; expected {wanted}, see source.quantities")
