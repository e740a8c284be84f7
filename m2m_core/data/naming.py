"""Words in the names of cubes, and what is made of them: checked from the config alone, before any file is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from ..wording import hint, shown
from .parameters import KNOWN, NAME
from .patterns import files, has_wildcards, placeholders, words

__all__ = ["SNAPSHOT", "check_words", "holds_many", "identity", "listed", "places"]

SNAPSHOT = "snapshot"  # the word that tells the redshift


def check_words(source: Mapping[str, Any]) -> None:
    """Refuse options of `cubes` that name words which its patterns do not have; raises ConfigError."""
    each = {pattern: {*placeholders(pattern), *placeholders(source["dataset"])} for pattern in listed(source["input"])}
    names = set().union(*each.values())
    if not names:
        raise ConfigError(
            "input: no words in braces in it or in dataset; expected some that name a cube, such as {seed}"
        )
    used = [(f"labels.{label}", word) for label, by in source["labels"].items() for word in by]
    used += [("factors", word) for word in source["factors"]]
    used += [("group", source["group"])] if source["group"] else []
    used += [("redshifts", SNAPSHOT)] if source["redshifts"] or source["difference"] else []
    for option, word in used:
        if word not in names:
            raise ConfigError(f"{option}: no {{{word}}} in input or dataset; {hint(word, names)}")
        if lacking := [pattern for pattern, own in each.items() if word not in own]:
            raise ConfigError(f"{option}: no {{{word}}} in {lacking[0]!r}; expected it in every pattern of input")
    for label, by in source["labels"].items():
        if len(by) != 1 or label in KNOWN or not NAME.fullmatch(label):
            raise ConfigError(f"labels.{label}: {shown(dict(by))}; expected one word, and a name like {NAME.pattern}")
        ((word, texts),) = by.items()
        if label in names and label != word:
            raise ConfigError(f"labels.{label}: is what {{{label}}} in the names tells; expected another name")
        if twice := sorted(text for text, times in Counter(listed(texts)).items() if times > 1):
            raise ConfigError(f"labels.{label}: {twice[0]!r} is two classes; expected each text once")
    if source["difference"]:
        _check_difference(*source["difference"], [*source["redshifts"].values()])


def _check_difference(early: float, late: float, redshifts: Sequence[float]) -> None:
    """Two redshifts of a snapshot each: of today or before, the earlier one first."""
    for z in early, late:
        if redshifts.count(z) != 1:
            what = "of two snapshots" if z in redshifts else "of none"
            raise ConfigError(f"difference: {z} is the redshift {what}; expected two of redshifts, {redshifts}")
    if not early > late >= 0:
        raise ConfigError(f"difference: [{early}, {late}]; expected the greater redshift first, and none below 0")


def holds_many(source: Mapping[str, Any]) -> bool:
    """Whether each file holds many samples, whose names only the file knows."""
    return source["kind"] == "cubes" and has_wildcards(source["dataset"])


def places(source: Mapping[str, Any]) -> dict[str, set[str]]:
    """Sample id -> its files, from their names alone; nothing where a file holds many samples."""
    found: dict[str, set[str]] = {}
    for pattern in listed(source["input"]) if not holds_many(source) else []:
        for file in files(pattern):
            found.setdefault(identity(words(pattern, file) or {}, source["difference"]), set()).add(file)
    return found


def identity(words: Mapping[str, str], difference: Any) -> str:
    """The id of the sample that a name belongs to: its words, but where it is one of two snapshots, that which."""
    return "-".join(text for word, text in words.items() if word != SNAPSHOT or not difference)


def listed(given: Sequence[str] | str) -> list[str]:
    """One text, or several, as several."""
    return [given] if isinstance(given, str) else list(given)
