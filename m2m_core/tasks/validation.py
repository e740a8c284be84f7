"""Which training samples choose the best model: whole groups, drawn from (seed, fold), never from the held-out fold."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["chosen_for_validation"]


def chosen_for_validation(groups: Iterable[str], training: Mapping[str, Any], fold: int) -> set[str]:
    """The groups kept for validation: those of lowest hash, at least one, and never all of them."""
    distinct = sorted(set(groups), key=lambda group: _rank(group, training["seed"], fold))
    if not training["validation"] or len(distinct) < 2:
        return set()
    count = min(max(1, round(training["validation"]["fraction"] * len(distinct))), len(distinct) - 1)
    return set(distinct[:count])


def _rank(group: str, seed: int, fold: int) -> bytes:
    return hashlib.sha256(f"{seed}\0validation\0{fold}\0{group}".encode()).digest()
