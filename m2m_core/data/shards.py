"""How the samples of a large dataset are divided among jobs: stable when samples come or go, kept once it is made.

Simulated samples have a job each up to `FEW`; those behind are made in ranges, "200-700". Found samples are read by the
catalogue itself up to `MANY`; more of them fall by the hash of their ids into parts, "3of256". Of files that hold many
samples only the size is known before a job opens them: there is a part for every `PIECE` of them. What is on disk
already stays divided as it is, whatever the config says now.
"""

import bisect
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import registry
from .catalogue import Catalogue, inspected
from .sources import simulated

__all__ = ["FEW", "MANY", "PIECE", "inspect_part", "inspect_simulated", "member", "parts", "pieces", "ranges"]

FEW = 200  # simulated samples that have a job each
MANY = 500  # samples of a job beyond that, and the found samples that need no division
PIECE = 2**34  # bytes of a job, of files that hold many samples each
RANGE = re.compile(r"(\d+)-(\d+)")
PART = re.compile(r"(\d+)of(\d+)")


def ranges(samples: int, size: int | None, made: Collection[str]) -> list[str]:
    """The shards "first-end" of the simulated samples from `FEW` up to `samples`; `made`: those on disk."""
    known: dict[int, int] = {}
    for first, end in (map(int, found.groups()) for found in map(RANGE.fullmatch, made) if found):
        if end <= samples:
            known[first] = max(end, known.get(first, 0))
    starts, names, first = sorted(known), [], FEW
    while first < samples:
        following = bisect.bisect_right(starts, first)
        end = known.get(first) or min(first + (size or MANY), samples, *starts[following : following + 1])
        names.append(f"{first}-{end}")
        first = end
    return names


def parts(ids: Collection[str], size: int | None, made: Collection[str]) -> dict[str, list[str]]:
    """Shard "kofn" -> the found samples in it, no empty ones; nothing for a small dataset. `made`: those on disk."""
    if len(ids) <= MANY:
        return {}
    counts = {int(found[2]) for found in map(PART.fullmatch, made) if found}
    for count in sorted(counts, reverse=True):
        division = _divided(ids, count)
        if 2 * len(division.keys() & set(made)) >= len(division):  # a job that failed leaves no table
            return division
    return _divided(ids, 1 << (-(-len(ids) // (size or MANY)) - 1).bit_length())


def pieces(size: int, made: Collection[str]) -> list[str]:
    """Shards "kofn" of files of `size` bytes that hold many samples each, none of small ones. `made`: those on disk.

    A shard may turn out to hold no sample.
    """
    if size < 2 * PIECE:
        return []
    counts = [int(found[2]) for found in map(PART.fullmatch, made) if found]
    kept = [count for count in sorted(set(counts), reverse=True) if 2 * counts.count(count) >= count]
    count = kept[0] if kept else 1 << (-(-size // PIECE) - 1).bit_length()
    return [f"{k}of{count}" for k in range(count)]


def member(shard: str) -> Callable[[str], bool]:
    """Tells of a sample id whether it is in a part "kofn"."""
    part, count = map(int, PART.fullmatch(shard).groups())  # type: ignore[union-attr]
    return lambda name: _place(name, count) == part


def inspect_part(source: dict[str, Any], shard: str) -> Catalogue:
    """The samples of a part, every file read once; their folds are unknown."""
    options = {key: value for key, value in source.items() if key != "kind"}
    return inspected(registry.load("source", source["kind"])(member(shard), **options))


def inspect_simulated(files: Sequence[str | Path]) -> Catalogue:
    """The samples that a simulator wrote, every file read once; their folds are unknown."""
    return inspected(simulated(list(map(str, files))))


def _divided(ids: Iterable[str], count: int) -> dict[str, list[str]]:
    division: dict[str, list[str]] = {}
    for name in ids:
        division.setdefault(f"{_place(name, count)}of{count}", []).append(name)
    return division


def _place(name: str, count: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % count
