"""Read YAML without its traps: no duplicate keys, no tags, no bombs; every refusal names file and line."""

import codecs
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError
from .wording import shown

__all__ = ["lay_over", "plain", "read"]

CHOICE = ("kind", "name")  # a mapping that names another piece of code shares no options with the earlier one
NODES = 100_000
DEPTH = 50  # the parser would overflow its stack near 20 000
BYTES = 10**7
BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG = "tag:yaml.org,2002:"
SCALARS = {  # YAML 1.2: `no` is text, and so are 012 and 1:30, which YAML 1.1 takes for 10 and 90
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+", "-+0123456789"),
    "float": (
        r"[-+]?([0-9][0-9_]*\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.inf|\.nan",
        "-+0123456789.",
    ),
    "merge": (r"<<", "<"),
}


class Loader(BASE):
    """PyYAML's safe loader, refusing duplicate and non-text keys; text is what does not look exactly like a value."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping; raises ConstructorError with the place of the key."""
        seen = set()
        for key, _ in node.value:
            if key.tag == f"{TAG}merge":
                continue
            if key.tag != f"{TAG}str":
                text = shown(key.value) if isinstance(key, yaml.ScalarNode) else "of several values"
                raise _at(key, f"key {text} is not text; write it in quotes")
            if key.value in seen:
                raise _at(key, f"duplicate key {shown(key.value)}; expected each once")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _name, (_pattern, _first) in SCALARS.items():
    Loader.add_implicit_resolver(TAG + _name, re.compile(f"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first])


def _at(node: yaml.Node, text: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping at the top of a YAML file (UTF-8, with or without BOM, any line ends). Raises ConfigError."""
    data = _bytes(Path(path))
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: byte 0x{error.object[error.start]:02x}; expected UTF-8") from None
    value = _parse(text, str(path))
    if value is None:
        raise ConfigError(f"{path}:1: empty; expected a mapping with datasets and experiments")
    if not isinstance(value, dict):
        raise ConfigError(f"{path}:1: a {type(value).__name__}; expected a mapping with datasets and experiments")
    return value


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: not a regular file; expected a YAML file")
        with open(path, "rb") as stream:
            data = stream.read(BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}; expected a YAML file") from None
    if len(data) > BYTES:
        raise ConfigError(f"{path}: longer than {BYTES // 10**6} MB; expected a config")
    return data


def plain(value: Any) -> Any:
    """Turn texts inside a value given on a command line into what YAML would read there."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return _scalar(value) if isinstance(value, str) and value else value


def lay_over(base: dict, overlay: dict) -> dict:
    """`overlay` merged into `base`, key by key; a mapping with another `kind` or `name` replaces the old one."""
    merged = dict(base)
    for key, value in overlay.items():
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _other_choice(old, value):
            merged[key] = lay_over(old, value)
        else:
            merged[key] = value
    return merged


def _other_choice(old: dict, new: dict) -> bool:
    return any(isinstance(new.get(key), str) and new[key] != old.get(key) for key in CHOICE)


# ---- parsing


def _parse(text: str, where: str) -> Any:
    loader = None
    try:
        _check_events(text, where)
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > NODES:
            raise ConfigError(f"{where}: more than {NODES} values once all aliases are expanded; expected a config")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{where}:{mark.line + 1 if mark else 1}: {_reason(error, text)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(f"{where}:{line}: a character that YAML does not allow: #x{error.character:02x}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not readable as YAML: {' '.join(str(error).split())[:120]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_events(text: str, where: str) -> None:
    """Refuse tags, too many values, and nesting that would overflow the parser's stack and kill the process."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, BASE)):
        if number > NODES:
            raise ConfigError(f"{where}: more than {NODES} values; expected a config")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ConfigError(f"{where}:{event.start_mark.line + 1}: nested more than {DEPTH} deep; expected a config")
        if tag := getattr(event, "tag", None):
            place = f"{where}:{event.start_mark.line + 1}"
            raise ConfigError(f"{place}: tag {shown(tag.replace(TAG, '!!'))}; expected a config without tags")


def _scalar(text: str) -> Any:
    loader = Loader("")
    try:
        node = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text)
        return loader.construct_object(node) if node.tag.removeprefix(TAG) in ("null", "bool", "int", "float") else text
    finally:
        loader.dispose()


def _reason(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = re.sub(r"\s+", " ", error.problem or "not readable as YAML")
    if problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    mark = error.problem_mark
    tab = mark is not None and text[mark.index : mark.index + 1] == "\t"
    return f"{problem}; a tab: YAML indents with blanks" if tab else problem


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = NODES + 1  # until it is known, a node inside itself counts as endless
        known[id(node)] = 1 + sum(_size(child, known) for child in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
