"""Losses by name. Importing this does not import torch; building a loss does."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .. import registry

__all__ = ["build"]


def build(name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The loss `name`, (prediction, target) -> scalar tensor, with its options filled in."""
    return partial(registry.load("loss", name), **options)
