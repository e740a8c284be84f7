"""How the training went."""

from ...registry import register
from ..blocks import Section
from ..context import Context

__all__ = ["learning"]


@register("section", "learning")
def learning(context: Context) -> Section:
    """Loss, validation and learning rate of each fold."""
    return Section("Learning", context.pictures(["learning"]))
