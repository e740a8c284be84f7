"""The report: figures of each experiment, and one page that shows, compares and explains all of them."""

from .context import Context
from .draw import draw, figure
from .page import render, write
from .results import ExperimentResults

__all__ = ["Context", "ExperimentResults", "draw", "figure", "render", "write"]
