"""Ablations: the experiments that are made out of one, by all combinations, by name or at random, and their names."""

import copy
import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError
from ..wording import hint, joined, shown
from .choices import choices_of
from .drawing import drawn, ends
from .keys import Experiment, Variant
from .variation import SERIES, Ablation

__all__ = ["made_by", "probes_of", "raw_of"]

LONGEST = 64  # characters of a name


def made_by(ablations: Mapping[str, Ablation], experiments: Mapping[str, Experiment]) -> dict[str, Variant]:
    """Name -> variant of every experiment that the ablations make, in order; raises ConfigError."""
    made: dict[str, Variant] = {}
    for name, ablation in ablations.items():
        where = joined("ablations", name)
        if ablation.of not in experiments:
            raise ConfigError(f"{where}.of: {_not_a_base(ablation.of, ablations, experiments, made)}")
        for key, variant in _variants(name, ablation):
            if key in made or key in experiments:
                text = f"{variant.label} makes {key!r}, which exists; expected other values or names"
                raise ConfigError(f"{where}: {text}")
            made[key] = variant
    return made


def probes_of(name: str, ablation: Ablation) -> list[Variant]:
    """The ends of what a search draws from, as variants; none of an ablation that is no search."""
    if ablation.search is None:
        return []
    return [Variant(of=ablation.of, ablation=name, values=values, key="draw") for values in ends(ablation.draw or {})]


def raw_of(base: Experiment, variant: Variant) -> dict[str, Any]:
    """The keys of a variant, unchecked; raises ConfigError for one that the base does not have."""
    raw, choices = base.model_dump(), dict(choices_of(Experiment))
    for path in sorted(variant.values, key=lambda path: path.count(".")):  # `model` before `model.width`
        value = copy.deepcopy(variant.values[path])
        if path in choices and isinstance(value, str | dict):
            value = choices[path].resolve(value, f"{variant.origin}.{path}")
        _put(raw, path, value, f"ablations.{variant.ablation}.{variant.key}.{path}")
    return raw


def _not_a_base(name: str, ablations: Mapping, experiments: Mapping, made: Mapping[str, Variant]) -> str:
    if name in made or name in ablations:
        ablation = made[name].ablation if name in made else name
        return f"{name!r} is made by ablation {ablation!r}; expected one of {', '.join(experiments)}"
    return f"unknown experiment {shown(name)}; {hint(name, experiments)}"


def _variants(name: str, ablation: Ablation) -> Iterator[tuple[str, Variant]]:
    """The name of each experiment that an ablation makes, and what it is; a search makes none."""
    where = {"of": ablation.of, "ablation": name}
    for values in _combinations(ablation.vary, joined("ablations", name)) if ablation.vary else ():
        yield _name(name, *map(_word, values.values())), Variant(**where, values=values)
    for word, nested in (ablation.variants or {}).items():
        values = _flat(nested, joined("ablations", name, "variants", word))
        yield _name(name, word), Variant(**where, values=values, key=f"variants.{word}")
    for number in range(ablation.random.count if ablation.random else 0):
        values = drawn(ablation.draw or {}, ablation.random.seed, number)  # type: ignore[union-attr]
        yield _name(name, str(number)), Variant(**where, values=values, key="draw")


def _combinations(vary: Mapping[str, list], where: str) -> Iterator[dict[str, Any]]:
    if (count := math.prod(map(len, vary.values()))) > SERIES:
        raise ConfigError(f"{where}.vary: makes {count} experiments; expected at most {SERIES}")
    for values in itertools.product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _flat(values: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """`training: {epochs: 3}` means `training.epochs: 3`; what names code stays whole."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        is_section = isinstance(value, dict) and value and path not in dict(choices_of(Experiment))
        for inner, leaf in (_flat(value, where, f"{path}.") if is_section else {path: value}).items():
            if inner in flat:
                raise ConfigError(f"{where}: {inner} is given twice; expected each key once")
            flat[inner] = leaf
    return flat


def _name(*words: str) -> str:
    """`width-4`: the ablation's name and a word for each value; if that is too long, its end is a digest."""
    name = "-".join(words)
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _word(value: Any) -> str:
    """A value in lower-case letters, digits and dashes: 0.1 is 0p1, -1 is m1."""
    if isinstance(value, dict):
        return "-".join(_word(v) if k == "name" else f"{_word(k)}{_word(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "-".join(map(_word, value)) or "none"
    text = str(value).lower().replace("+", "")
    if isinstance(value, int | float):
        text = re.sub(r"^-", "m", text).replace(".", "p")
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "none"


def _put(raw: dict, path: str, value: Any, where: str) -> None:
    section, _, rest = path.partition(".")
    if section not in raw:
        raise ConfigError(f"{where}: no such key {shown(section)}; {hint(section, raw)}")
    if not rest:
        raw[section] = value
    elif isinstance(raw[section], dict):
        _put(raw[section], rest, value, where)
    else:
        raise ConfigError(f"{where}: {section!r} is {shown(raw[section])}; expected keys in it, or vary it whole")
