"""A network that was trained with a discriminator as one program: the network alone."""

from ..registry import register
from ..tasks.adversarial import Adversarial
from .field_to_field import field_to_field
from .program import Exportable

__all__ = ["adversarial"]


@register("export", "adversarial")
def adversarial(task: Adversarial) -> Exportable:
    """The generator, as the network of field_to_field."""
    return field_to_field(task.regression)
