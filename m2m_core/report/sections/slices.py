"""What a predicted sample looks like."""

from ...registry import register
from ..blocks import Section
from ..context import Context

__all__ = ["slices"]


@register("section", "slices")
def slices(context: Context) -> Section:
    """Input, truth, prediction and residual of a held-out sample."""
    return Section("Slices", context.pictures(["slices"]))
