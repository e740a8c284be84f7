"""Read YAML without its traps: no duplicate keys, no tags, no bombs; every refusal names file and line."""

import codecs
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

__all__ = ["lay_over", "plain", "read"]

CHOICE = ("kind", "name")  # a mapping that names another piece of code shares no options with the earlier one
NODES = 100_000
BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(BASE):
    """PyYAML's safe loader, refusing duplicate and non-text keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is not text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_yaml_str)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping at the top of a YAML file (UTF-8, with or without BOM, any line ends). Raises ConfigError."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8") from None
    value = _parse(text, str(path))
    if value is None:
        raise ConfigError(f"{path}:1: empty; expected a mapping with datasets and experiments")
    if not isinstance(value, dict):
        raise ConfigError(f"{path}:1: a {type(value).__name__} at the top; expected a mapping")
    return value


def plain(value: Any) -> Any:
    """Turn texts inside a value given on a command line into what YAML would read there."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return _parse(value, "--config") if isinstance(value, str) and value else value


def lay_over(base: dict, overlay: dict) -> dict:
    """`overlay` merged into `base`, key by key; a mapping with another `kind` or `name` replaces the earlier one whole."""
    merged = dict(base)
    for key, value in overlay.items():
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _other_choice(old, value):
            merged[key] = lay_over(old, value)
        else:
            merged[key] = value
    return merged


def _other_choice(old: dict, new: dict) -> bool:
    return any(key in new and new[key] != old.get(key) for key in CHOICE)


def _parse(text: str, where: str) -> Any:
    loader = None
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > NODES:
            raise ConfigError(f"{where}: more than {NODES} values once all aliases are expanded")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{where}:{mark.line + 1 if mark else 1}: {_reason(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not readable as YAML: {' '.join(str(error).split())[:120]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem = re.sub(r"\s+", " ", error.problem or "not readable as YAML")
    return f"{problem} (a tab? YAML indents with blanks)" if "cannot start any token" in problem else problem


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = NODES + 1  # until it is known, a node inside itself counts as endless
        known[id(node)] = 1 + sum(_size(child, known) for child in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
