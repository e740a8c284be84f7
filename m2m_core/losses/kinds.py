"""Which labels a loss of labels is for, so that the others are refused before any job runs: without torch.

Beside a loss of labels stands a function of its name that returns what it is for.
"""

from typing import NamedTuple

from ..registry import register

__all__ = ["Fit", "binary", "classes", "regression", "whole"]


class Fit(NamedTuple):
    """What a loss is for: "binary", "classes" or "regression"; and whether it needs the whole batch at once."""

    kind: str
    whole: bool = False


@register("label_fit", "binary_cross_entropy")
def binary() -> Fit:
    """Two answers."""
    return Fit("binary")


@register("label_fit", "categorical_cross_entropy")
def classes() -> Fit:
    """One of several answers."""
    return Fit("classes")


@register("label_fit", "gaussian_likelihood")
@register("label_fit", "moments")
def regression() -> Fit:
    """Numbers, each with its variance."""
    return Fit("regression")


@register("label_fit", "log_moments")
def whole() -> Fit:
    """The same from sums over a batch, which its parts do not give."""
    return Fit("regression", whole=True)
