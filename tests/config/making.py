"""A small valid config as plain dicts, and ways to change one key of it."""

import copy
from pathlib import Path

import pytest

from m2m_core import config, yamlfile
from m2m_core.errors import ConfigError

TOP = Path(__file__).parents[2]
DEFAULT = TOP / "config" / "config.yaml"


def small():
    """One simulated dataset, one experiment, every default left to the config."""
    return {
        "datasets": {"nbody": {"source": {"kind": "nbody"}, "folds": {"count": 3}}},
        "experiments": {
            "vnet": {"dataset": "nbody", "crops": {"size": 32}, "model": {"name": "vnet", "padding": "periodic"}}
        },
    }


def changed(path, value, raw=None):
    """The small config, or `raw`, with `value` at `path`, whose keys are divided by slashes."""
    raw = copy.deepcopy(raw or small())
    *parents, last = path.split("/")
    node = raw
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return raw


def refused(raw):
    """The one line with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        config.parse(raw)
    line = str(caught.value)
    assert line.splitlines() == [line] and line.isprintable() and len(line) < 600
    return line


def loaded(tmp_path, text, **options):
    """The config of a file with this text (or these bytes)."""
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load([path], DEFAULT, **options)


def default():
    """The default config as plain dicts."""
    return yamlfile.read(DEFAULT)
