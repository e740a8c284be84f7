"""The numbers that a simulation gives to each of its samples, so that labels are checked before it runs."""

from ..registry import register

__all__ = ["gravity", "nbody"]


@register("numbers", "gravity")
def gravity() -> tuple[str, ...]:
    """Theory, seed and amplitude."""
    return ("gr", "seed", "sigma_8")


@register("numbers", "nbody")
def nbody() -> tuple[str, ...]:
    """None but redshift and matter density."""
    return ()
