"""Small studies for tests: fields on disk, an experiment with all defaults, and what the early stages make of them."""

import copy
from pathlib import Path

import numpy as np

from m2m_core import config
from m2m_core.crops import Crops, index
from m2m_core.data.catalogue import Catalogue, build
from m2m_core.data.folds import assign
from m2m_core.data.sources import npy
from m2m_core.models import geometry_of
from m2m_core.tasks.protocol import Study

__all__ = ["EXPERIMENTS", "experiment", "fields", "lay_over", "study"]

BASE = {
    "dataset": "d",
    "normalize": {"input": "standardise", "target": "standardise"},
    "crops": {"size": 8},
    "model": {"name": "vnet", "width": 2, "depth": 1, "padding": "periodic"},
    "optimizer": {"name": "adamw", "lr": 1.0e-2},
    "schedule": "constant",
    "training": {
        "epochs": 3,
        "batch_size": 2,
        "device": "cpu",
        "augment": ["flip", "permute", "shift"],
        "validation": {"fraction": 0.25},
    },
    "evaluation": ["mean_square_error", "power_spectrum"],
}
ADVERSARIAL = {
    "name": "adversarial",
    "discriminator": {"name": "stylegan2_discriminator", "scale": 2, "width": 4, "narrowest": 2},
    "criterion": {"name": "bce", "label_smoothing": 0.1},
    "optimizer": {"name": "adam", "lr": 1.0e-3},
    "conditional": True,
    "r1": 1.0,
    "r2": 1.0,
    "penalty_every": 3,
    "noise": 0.1,
    "noise_epochs": 2.0,
    "clip": 1.0,
    "weight": 0.1,
}
EXPERIMENTS = {  # task -> the experiment of its contract
    "field_to_field": BASE,
    "adversarial": BASE | {"task": ADVERSARIAL},
}


def lay_over(below: dict, above: dict) -> dict:
    """A copy of nested dicts with others laid over them."""
    out = copy.deepcopy(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict) and "name" not in value
        out[key] = lay_over(out[key], value) if both else copy.deepcopy(value)
    return out


def experiment(task: str | dict = "field_to_field", **changes) -> dict:
    """The settings of an experiment, every default filled in; `task` with options replaces those of its contract."""
    name, given = (task, {}) if isinstance(task, str) else (task["name"], {"task": task})
    raw = lay_over({"task": name} | EXPERIMENTS[name], changes | given)
    source = {"kind": "npy", "input": "a", "target": "b"}
    return (
        config.parse({"datasets": {"d": {"source": source}}, "experiments": {"e": raw}}).experiments["e"].model_dump()
    )


def fields(
    folder: Path, count: int = 6, space: tuple = (8, 8, 8), channels: dict | None = None, scale: int = 1, **source
) -> Catalogue:
    """The catalogue of `count` samples in 3 folds; channels: field -> number of them, or part -> number of them.

    space: of the input; all else is `scale` times as fine
    """
    channels = channels or {"input": 3, "target": 3}
    patterns = {}
    for field, parts in channels.items():
        named = parts if isinstance(parts, dict) else {field: parts}
        edges = space if field == "input" else tuple(scale * n for n in space)
        for part, number in named.items():
            (folder / field).mkdir(parents=True, exist_ok=True)
            for n in range(count):
                values = np.random.default_rng([n, *map(ord, part)]).standard_normal((number, *edges), "f4")
                np.save(folder / field / f"{part}-{n}.npy", values)
        globs = {part: f"{folder}/{field}/{part}-{{id}}.npy" for part in named}
        patterns[field] = globs if isinstance(parts, dict) else globs[field]
    known = {"input": patterns.pop("input"), "target": patterns.pop("target"), "baselines": patterns}
    samples = npy(**known, **source)
    groups = {sample.id: sample.group for sample in samples}
    return build(samples, assign(groups, 3), "mask")


def study(catalogue: Catalogue, settings: dict, fold: int = 0) -> Study:
    """What training `fold` begins with; statistics are of standard normal numbers, a little off."""
    model = {key: value for key, value in settings["model"].items() if key != "name"}
    geometry = geometry_of(settings["model"]["name"], model)
    crops = Crops(index(catalogue, geometry=geometry, **settings["crops"]))
    return Study(settings, catalogue, {side: _moments(catalogue, side) for side in ("input", "target")}, crops, fold)


def _moments(catalogue: Catalogue, side: str) -> dict:
    channels = catalogue.samples[0].shape(side)[0]
    return {
        "count": 1,
        "mean": [0.1 * c for c in range(channels)],
        "std": [1.0 + 0.1 * c for c in range(channels)],
        "min": [-9.0] * channels,
        "max": [9.0] * channels,
    }
