"""What differs between the settings that made a result and those of now, in words: keys, modules, files."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .wording import shown

__all__ = ["differences", "flat", "listed", "numbers"]

SHOWN = 4  # differences in one line
ABSENT = object()
DERIVED = {"code", "files"}  # digests, told apart by what they stand for
TOLD = r"experiments(\.|\[)|experiment\.(config|folds|catalogue)\b"  # of a report, beside its config
NAMES = ((r"^geometry\.options\.", "model."), (r"^geometry\.", "model."), (r"^(config|experiment)\.", ""))


def differences(then: Mapping[str, Any], now: Mapping[str, Any], where: str) -> list[str]:
    """`experiments.vnet.model.width 8 -> 16`, of each key whose value differs; `where` goes before every key."""
    old, new = flat(then), flat(now)
    for one, other in ((old, new), (new, old)):  # a single choice that became, or was, a list of them
        for key in [key for key in one if key.removesuffix(".name") != key and key.removesuffix(".name") in other]:
            one[key.removesuffix(".name")] = one.pop(key)
    keys = [key for key in sorted({*old, *new}, key=_order) if old.get(key, ABSENT) != new.get(key, ABSENT)]
    told = [key for key in keys if key not in DERIVED and not re.match(TOLD, key)]
    return _few([f"{_named(key, where)} {_value(old, key)} -> {_value(new, key)}" for key in told])


def flat(value: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Key with points -> value; of a list of choices the name of each is part of its key."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        path = f"{where}.{key}" if where else str(key)
        if isinstance(inner, list) and inner and all(isinstance(item, dict) and "name" in item for item in inner):
            inner = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in inner}
            found[path] = list(inner)
        if isinstance(inner, Mapping):
            found |= flat(inner, path)
        else:
            found[path] = inner
    return found


def listed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`x changed`, `x added`, `x removed`: of two mappings from a name to what it held."""
    words = [(name, "added") for name in sorted(new.keys() - old.keys())]
    words += [(name, "removed") for name in sorted(old.keys() - new.keys())]
    words += [(name, "changed") for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    return _few([f"{name} {word}" for name, word in words])


def numbers(names: Sequence[str]) -> str:
    """`0-2, 5` for 0, 1, 2 and 5; names as they are, of many the first."""
    if not all(re.fullmatch(r"\d{1,9}", name) for name in names):
        return ", ".join(_few(sorted(names)))
    runs: list[list[str]] = []
    for name in sorted(names, key=int):
        if runs and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(_few([run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]))


def _few(texts: Sequence[str]) -> list[str]:
    texts = list(dict.fromkeys(texts))
    return [*texts[:SHOWN], f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN + 1 else texts


def _order(key: str) -> tuple[Any, ...]:
    """What is chosen goes before its options."""
    section, _, last = key.rpartition(".")
    return section, last not in ("name", "kind"), last


def _named(key: str, where: str) -> str:
    for pattern, text in NAMES:
        key = re.sub(pattern, text, key)
    return re.sub(r"\.name$", "", f"{where}{key}")


def _value(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, ABSENT)
    if value is ABSENT:
        return "nothing"
    if isinstance(value, str):
        return shown(value).strip("'") if value else "''"
    return f"[{', '.join(map(str, value))}]" if _plain(value) else shown(value)


def _plain(value: Any) -> bool:
    return isinstance(value, list) and len(value) < 10 and all(isinstance(item, str | int | float) for item in value)
