"""Ablations: the experiments that one experiment and lists of values make, and their names."""

import copy
import hashlib
import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..wording import hint, joined, shown
from .choices import choices_of
from .keys import SERIES, Ablation, Experiment, Variant

__all__ = ["made_by", "raw_of"]

LONGEST = 64  # characters of a name


def made_by(ablations: Mapping[str, Ablation], experiments: Mapping[str, Experiment]) -> dict[str, Variant]:
    """Name -> variant of every experiment that the ablations make, in order; raises ConfigError."""
    made: dict[str, Variant] = {}
    for name, ablation in ablations.items():
        where = joined("ablations", name)
        if ablation.of not in experiments:
            raise ConfigError(f"{where}.of: {_not_a_base(ablation.of, ablations, experiments, made)}")
        if (count := math.prod(map(len, ablation.vary.values()))) > SERIES:
            raise ConfigError(f"{where}.vary: makes {count} experiments; expected at most {SERIES}")
        for values in itertools.product(*ablation.vary.values()):
            variant = Variant(of=ablation.of, ablation=name, values=dict(zip(ablation.vary, values, strict=True)))
            if (key := _name(variant)) in made or key in experiments:
                text = f"{variant.label} makes {key!r}, which exists; expected other values or names"
                raise ConfigError(f"{where}: {text}")
            made[key] = variant
    return made


def raw_of(base: Experiment, variant: Variant) -> dict[str, Any]:
    """The keys of a variant, unchecked; raises ConfigError for one that the base does not have."""
    raw, choices = base.model_dump(), dict(choices_of(Experiment))
    for path in sorted(variant.values, key=lambda path: path.count(".")):  # `model` before `model.width`
        value = copy.deepcopy(variant.values[path])
        if path in choices and isinstance(value, str | dict):
            value = choices[path].resolve(value, f"{variant.origin}.{path}")
        _put(raw, path, value, f"ablations.{variant.ablation}.vary.{path}")
    return raw


def _not_a_base(name: str, ablations: Mapping, experiments: Mapping, made: Mapping[str, Variant]) -> str:
    if name in made or name in ablations:
        ablation = made[name].ablation if name in made else name
        return f"{name!r} is made by ablation {ablation!r}; expected one of {', '.join(experiments)}"
    return f"unknown experiment {shown(name)}; {hint(name, experiments)}"


def _name(variant: Variant) -> str:
    """`width-4`: the ablation's name and a word for each value; if that is too long, its end is a digest."""
    name = "-".join([variant.ablation, *map(_word, variant.values.values())])
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
