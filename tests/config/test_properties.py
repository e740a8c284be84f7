"""Every config that is let in can produce all its stages' settings; every other is refused with one line.

Over all numeric keys, found in the schema, and all values that no one means; then over random mixtures.
"""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core import config, door, registry
from m2m_core.errors import ConfigError
from m2m_core.stages import BEFORE, Stages
from tests.config.making import changed, small

NASTY = [
    -1,
    0,
    -0.0,
    10**30,
    -(10**30),
    2**63,
    1e30,
    1e300,
    1e-300,
    math.nan,
    math.inf,
    -math.inf,
    0.5,
    3.0,
    True,
    "1",
    "1e-4",
    None,
    [],
    {},
]
SECTIONS = {"experiments/vnet": "Experiment", "datasets/nbody": "Dataset"}
CHOSEN = {
    "experiments/vnet/model": ("model", "vnet"), "experiments/vnet/loss": ("loss", "huber"),
    "experiments/vnet/optimizer": ("optimizer", "adamw"), "experiments/vnet/schedule": ("schedule", "plateau"),
    "datasets/nbody/source": ("simulation", "nbody"),
}  # fmt: skip


def is_numeric(node):
    return "integer" in (text := json.dumps(node)) or '"number"' in text


def numeric(path, node, schema):
    """Paths of all keys below a section that take a number."""
    for key, value in node.get("properties", {}).items():
        inner = [schema["$defs"][o["$ref"].rsplit("/", 1)[1]] for o in value.get("anyOf", [value]) if "$ref" in o]
        for section in inner[:1]:  # of crops and slices, those that are given
            yield from numeric(f"{path}/{key}", section, schema)
        if not inner and is_numeric(value):
            yield f"{path}/{key}"


def all_numeric():
    schema = config.Config.model_json_schema()
    for path, name in SECTIONS.items():
        yield from numeric(path, schema["$defs"][name], schema)
    for path, (kind, name) in CHOSEN.items():
        yield from numeric(path, registry.find(kind, name).schema().model_json_schema(), {})


NUMERIC = sorted(all_numeric())


def with_choices():
    raw = small()
    for path, (_, name) in CHOSEN.items():
        key = "kind" if path.startswith("datasets") else "name"
        raw = changed(f"{path}/{key}", name, raw if path != "experiments/vnet/model" else small())
    return raw


def put(raw, path, value):
    """`value` at `path`, sections on the way made where there are none."""
    return changed(path, value, raw)


def outcome(raw):
    """The line of the refusal, or None when everything that the workflow asks of the config can be said."""
    try:
        found = door.check(config.parse(raw))
    except ConfigError as error:
        line = str(error)
        assert line.isprintable() and len(line) < 700
        return line
    stages = Stages(found)
    said = [stages.report()]
    for name in found.datasets:
        said += [
            stages.catalogue(name),
            stages.simulation(name) if found.datasets[name].source["kind"] == "nbody" else {},
        ]
    for name, experiment in found.experiments.items():
        said += [getattr(stages, stage)(name) for stage in BEFORE] + [stages.running(name), stages.description(name)]
        said += [stages.moments(experiment.dataset, t) for t in stages.transforms(name)]
        said += [stages.figures(name), stages.folds(name), [stages.owner(name, stage) for stage in BEFORE]]
    json.dumps(said, allow_nan=False)
    return None


def test_the_numeric_keys_are_found():
    assert {"experiments/vnet/crops/size", "experiments/vnet/optimizer/lr", "datasets/nbody/source/mesh",
            "datasets/nbody/folds/count", "experiments/vnet/training/validation/fraction"} <= set(NUMERIC)  # fmt: skip
    assert len(NUMERIC) > 40 and outcome(with_choices()) is None


@pytest.mark.parametrize("path", NUMERIC)
def test_no_number_gets_through_that_no_one_means(path):
    for value in NASTY:
        line = outcome(put(with_choices(), path, value))
        never = isinstance(value, bool | str | dict) or isinstance(value, int | float) and not -1e9 < value < 1e9
        if line is None:
            assert not never or path.endswith("seed"), f"{path} takes {value!r}"
        elif never:
            assert line.startswith(path.replace("/", ".")) and "expected" in line


@pytest.mark.parametrize("path", [path for path in NUMERIC if path.endswith("seed")])
def test_a_seed_takes_63_bits(path):
    assert outcome(put(with_choices(), path, 2**63 - 1)) is None
    assert "and below 2^63" in outcome(put(with_choices(), path, 2**63))


plausible = st.sampled_from(
    [1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 30, 32, 48, 64, 128, 0.1, 0.5, 1.0, None, [32, 32, 32], [16], [1, 2]]
)
mutations = st.lists(st.tuples(st.sampled_from(NUMERIC), plausible | st.sampled_from(NASTY)), min_size=1, max_size=4)
paddings = st.sampled_from(["valid", "periodic", "zero"])


@settings(max_examples=100)
@given(mutations, paddings, st.sampled_from(["vnet", "unet"]))
def test_what_is_let_in_can_be_run_and_the_rest_is_one_line(mutations, padding, model):
    raw = with_choices()
    raw["experiments"]["vnet"]["model"] = {"name": model, "padding": padding}
    for path, value in mutations:
        raw = put(raw, path, value) if reachable(raw, path) else raw
    outcome(raw)


def reachable(raw, path):
    node = raw
    for key in path.split("/")[:-1]:
        node = node.get(key, {}) if isinstance(node, dict) else None
    return isinstance(node, dict)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
spots = [
    "datasets",
    "experiments",
    "ablations",
    "plugins",
    "results",
    "report",
    "datasets/nbody",
    "datasets/nbody/source",
    "datasets/nbody/folds",
    "experiments/vnet",
    "experiments/vnet/model",
    "experiments/vnet/evaluation",
    "new",
    "experiments/vnet/crops/size",
    "experiments/vnet/normalize/input",
    "ablations/w",
    "ablations/w/vary",
]


@settings(max_examples=200)
@given(st.sampled_from(spots), anything)
def test_any_value_anywhere_is_accepted_or_one_line(path, value):
    try:
        config.parse(put(small(), path, value))
    except ConfigError as error:
        assert str(error).isprintable() and len(str(error)) < 700
    finally:
        registry.use_plugins([])
