"""Which fold a sample is held out in: a function of the set of samples, balanced, stable when some are added."""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..errors import ConfigError

__all__ = ["assign", "given"]

SHOWN = 5


def assign(groups: Mapping[str, str], count: int, seed: int = 0) -> dict[str, int]:
    """Sample id -> fold, from sample id -> group; a group is never split.

    Groups of equal size are spread so that the folds differ by at most one group. Groups and folds rank each
    other by hashes and are matched by deferred acceptance (Gale & Shapley 1962): the result does not depend on any
    order, and one more group displaces a chain of others as long as the number of folds, not of samples.
    Raises ConfigError for fewer than two folds or more folds than groups.
    """
    sizes = Counter(groups.values())
    _check(count, len(sizes), "samples" if len(sizes) == len(groups) else "groups")
    classes = defaultdict(list)
    for group, size in sizes.items():
        classes[size].append(group)
    filled, fold_of = [0] * count, {}
    for size in sorted(classes, reverse=True):
        room = _room(len(classes[size]), filled, seed)
        fold_of |= _match(classes[size], room, seed)
        filled = [total + size * slots for total, slots in zip(filled, room, strict=True)]
    return {sample: fold_of[group] for sample, group in groups.items()}


def given(samples: Iterable[str], lists: Sequence[Sequence[str]]) -> dict[str, int]:
    """Sample id -> fold, from one list of ids a fold; ConfigError unless every sample is in exactly one list."""
    samples = list(samples)
    _check(len(lists), len(samples), "samples")
    times = Counter(sample for fold in lists for sample in fold)
    _refuse("in more than one place", [sample for sample, n in times.items() if n > 1])
    _refuse("not in the dataset", sorted(times.keys() - set(samples)))
    _refuse("in no fold", [sample for sample in samples if sample not in times])
    _refuse("without any sample", [f"fold {k}" for k, fold in enumerate(lists) if not fold])
    return {sample: k for k, fold in enumerate(lists) for sample in fold}


def _check(count: int, available: int, what: str) -> None:
    if count < 2:
        raise ConfigError(f"folds: {count} folds; expected at least 2: one is held out, the others train")
    if count > available:
        raise ConfigError(f"folds: {count} folds but {available} {what}")


def _refuse(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ConfigError(f"folds: {what}: {', '.join(map(repr, names[:SHOWN]))}{more}; expected each sample once")


def _room(count: int, filled: Sequence[int], seed: int) -> list[int]:
    """Slots a fold for `count` groups of one size; what does not divide goes to the folds with the fewest samples."""
    folds = len(filled)
    order = sorted(range(folds), key=lambda fold: (filled[fold], _ranks(seed, "slot", fold)))
    extra = set(order[: count % folds])
    return [count // folds + (fold in extra) for fold in range(folds)]


def _match(groups: Iterable[str], room: Sequence[int], seed: int) -> dict[str, int]:
    """The stable matching that groups prefer; `room` sums to the number of groups."""
    held: list[list[tuple[int, str]]] = [[] for _ in room]  # per fold a heap: the least wanted group on top
    open_folds = [fold for fold, slots in enumerate(room) if slots]
    wishes = {}
    waiting = sorted(groups)
    while waiting:
        group = waiting.pop()
        if group not in wishes:
            wishes[group] = _wishes(seed, group, open_folds)
        _, fold, wanted = wishes[group].pop()
        heapq.heappush(held[fold], (wanted, group))
        if len(held[fold]) > room[fold]:
            waiting.append(heapq.heappop(held[fold])[1])
    return {group: fold for fold, members in enumerate(held) for _, group in members}


def _wishes(seed: int, group: str, folds: Iterable[int]) -> list[tuple[int, int, int]]:
    """(how much the group wants the fold, fold, how much the fold wants the group), the best one last."""
    ranked = ((*_ranks(seed, group, fold), fold) for fold in folds)
    return sorted((own, fold, other) for own, other, fold in ranked)


def _ranks(seed: int, name: str, fold: int) -> tuple[int, int]:
    digest = hashlib.blake2b(f"{seed}/{fold}/{name}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
