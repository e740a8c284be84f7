"""The generated JSON Schema and table: current, valid, as strict as the config, every key described."""

import copy
import json

import jsonschema
import pytest
import yaml

from m2m_core import config, schema
from m2m_core.errors import ConfigError
from tests.config.making import TOP, changed, default, small

STUDIES = sorted([TOP / "config" / "config.yaml", *TOP.glob("config/studies/*.yaml")])
VALIDATOR = jsonschema.Draft202012Validator(schema.json_schema())


def test_both_files_are_current():
    told = "is not current: run `make docs`"
    assert (TOP / schema.SCHEMA).read_text() == json.dumps(schema.json_schema(), indent=1) + "\n", (
        f"{schema.SCHEMA} {told}"
    )
    assert (TOP / schema.TABLE).read_text() == schema.markdown(), f"{schema.TABLE} {told}"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())
    assert "x-" not in "".join(keys(schema.json_schema()))


def keys(node):
    if isinstance(node, dict):
        yield from node
        for value in node.values():
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_config_fits_and_tells_editors_its_schema(path):
    VALIDATOR.validate(yaml.safe_load(path.read_text()))
    config.load([path], STUDIES[0])
    if path.parent.name == "studies":
        first = path.read_text().splitlines()[0]
        assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == TOP / schema.SCHEMA


def places(node, path=()):
    yield path
    for key, value in node.items() if isinstance(node, dict) else ():
        yield from places(value, (*path, key))


@pytest.mark.parametrize(
    "path", [p for p in places(default()) if p not in ((), ("datasets",), ("experiments",))], ids="/".join
)
def test_a_misspelt_key_does_not_fit(path):
    raw = copy.deepcopy(default())
    node = raw
    for key in path[:-1]:
        node = node[key]
    if path[:-1] in (("datasets",), ("experiments",)):
        path = (*path[:-1], "Not A Name", path[-1])
    node[path[-1] + " x" if len(path) < 4 else path[-1] + "x"] = node.pop(
        path[-1] if path[-1] in node else list(node)[0]
    )
    assert list(VALIDATOR.iter_errors(raw))
    with pytest.raises(ConfigError):
        config.parse(raw)


def test_null_removes_in_an_overlay():
    VALIDATOR.validate({**default(), "experiments": {"vnet": None, **default()["experiments"], "other": None}})


@pytest.mark.parametrize(
    "path, value",
    [
        ("experiments/vnet/model", "vnet"), ("experiments/vnet/model", {"name": "unet", "width": 3}),
        ("experiments/vnet/crops", {"size": [32, 32, 32]}), ("experiments/vnet/normalize", {"input": "log1p"}),
        ("experiments/vnet/normalize", {"input": {"transform": ["log", "log1p"], "scaling": {"name": "robust"}}}),
        ("experiments/vnet/normalize", {"input": {"psi": "displacement", "v": {"scaling": "velocity"}}}),
        ("experiments/vnet/evaluation", ["one_point", {"name": "power_spectrum"}]),
        ("report", {"sections": ["summary"]}),
        ("report", {"sections": None}), ("ablations", {"a": {"of": "vnet", "vary": {"loss": ["mae"]}}}),
        ("datasets/nbody/source", {"kind": "npy", "input": {"a": ["x"], "b": "y"}, "target": "z"}),
    ],
)  # fmt: skip
def test_what_the_config_takes_fits(path, value):
    raw = changed(path, value)
    config.parse(raw)
    VALIDATOR.validate(raw)


@pytest.mark.parametrize(
    "path, value",
    [
        ("experiments/vnet/model", "vnett"), ("experiments/vnet/model", {"name": "vnet", "widht": 3}),
        ("experiments/vnet/model", {"name": "vnet", "width": 0}), ("experiments/vnet/crops", {"size": []}),
        ("experiments/vnet/normalize", {"input": "lgo"}), ("datasets/nbody/source", "npy"), ("experiments/A b", {}),
        ("datasets/nbody/source", {"kind": "npy", "target": "x"}), ("experiments/vnet/evaluation", []),
    ],
)  # fmt: skip
def test_what_the_config_refuses_does_not_fit(path, value):
    raw = changed(path, value)
    assert list(VALIDATOR.iter_errors(raw))
    with pytest.raises(ConfigError):
        config.parse(raw)


def test_every_key_is_described():
    texts = schema.texts()
    assert len(texts) > 100 and not [key for key, text in texts.items() if not text.strip()]
    assert {"experiments.<name>.crops.size", "experiments.<name>.model.vnet.width", "report.title"} <= texts.keys()


def test_the_table_has_every_key_in_order_and_no_technical_limits():
    table = schema.markdown()
    titles = ["## The top", "## `datasets.<name>`", "### Every simulation", "## `experiments.<name>`",
              "### Every model",
              "### `experiments.<name>.training`", "## `ablations.<name>`", "## `report`"]  # fmt: skip
    assert [table.index(title) for title in titles] == sorted(table.index(title) for title in titles)
    assert all(
        f"| `{key.rsplit('.', 1)[-1]}` |" in table for key in schema.texts() if not key.endswith((".name", ".kind"))
    )
    assert not [clutter for clutter in ("1000000000", "10^", "2^63", "9223372036854775808", "1e-0") if clutter in table]


def test_small_is_what_the_other_tests_think():
    VALIDATOR.validate(small())
