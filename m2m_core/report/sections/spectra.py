"""What the statistics of the predicted fields are, against those of the truth."""

from ...registry import register
from ..blocks import Section
from ..context import Context

__all__ = ["spectra"]


@register("section", "spectra")
def spectra(context: Context) -> Section:
    """Power, transfer function, cross-correlation and one-point distribution."""
    return Section("Spectra", context.pictures(["power", "transfer", "correlation", "one_point"]))
