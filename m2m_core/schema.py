"""The JSON Schema of the config, from which editors complete, and config/README.md: both generated, never edited.

`python -m m2m_core.schema` writes both.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from . import registry
from .config import Config
from .config.choices import Term
from .files import write_text
from .registry import Entry
from .wording import article, called, describe

__all__ = ["json_schema", "main", "markdown", "nodes", "texts"]

SCHEMA = "workflow/schemas/config.schema.json"
TABLE = "config/README.md"
TABLES = ("datasets", "experiments", "ablations", "predictions")
HEADER = """# Every key of the config

Generated from `m2m_core/config` and from the options of everything that the config can name: edit those, then run
`make docs`. Editors that speak YAML complete and check the keys from `workflow/schemas/config.schema.json`.

A key that names code takes a name, `model: vnet`, or a mapping with options, `model: {name: vnet, width: 8}`.
What is not given has its default. Numbers need a point before an exponent: `1.0e-3`. Units stand in brackets.
"""


# ---- for editors


def json_schema() -> dict[str, Any]:
    """The schema of the config (draft 2020-12), every choice spelled out with its options."""
    schema = Config.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_spelled_out(schema)}
    for table in TABLES:  # null removes what an earlier file defines
        patterns = schema["properties"][table]["patternProperties"]
        patterns.update({pattern: {"anyOf": [section, {"type": "null"}]} for pattern, section in patterns.items()})
        schema["properties"][table]["additionalProperties"] = False
    return schema


def _entry_schema(entry: Entry) -> dict[str, Any]:
    schema = _untitled(entry.schema().model_json_schema())
    schema = _inlined(schema, schema.pop("$defs", {}))
    for key, node in schema.get("properties", {}).items():
        node["description"] = entry.texts.get(key, "")
    return {**schema, "description": entry.summary}


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles of keys."""
    for node in schema.get("properties", {}).values():
        node.pop("title", None)
    return schema


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """The node with the definitions that it refers to in their places."""
    if isinstance(node, list):
        return [_inlined(value, definitions) for value in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}


def _spelled_out(node: Any) -> Any:
    """The node with the alternatives of every choice in the place of its mark."""
    if isinstance(node, list):
        return [_spelled_out(value) for value in node]
    if not isinstance(node, dict):
        return node
    if "x-choice" not in node:
        return {key: _spelled_out(value) for key, value in node.items() if not key.startswith("x-")}
    mark = node["x-choice"]
    kept = {key: node[key] for key in ("default", "description", "minItems") if key in node}
    if node.get("type") == "array":
        return {**kept, "type": "array", "items": _choice(mark)}
    types = {option.get("type"): option for option in node["anyOf"]}
    if "array" not in types:
        return {**kept, **_choice(mark)}
    items = {"type": "array", "items": _choice(mark, Term if mark["weighted"] else None)}
    least = {key: types["array"][key] for key in ("minItems",) if key in types["array"]}
    others = _choice(mark)["anyOf"] if "string" in types else [{"type": "null"}]
    return {**kept, "anyOf": [{**items, **least}, *others]}


def _choice(mark: dict[str, Any], beside: type[BaseModel] | None = None) -> dict[str, Any]:
    """A name, where no option is required, or a mapping with the name, its options and the keys `beside` them."""
    key = mark["key"]
    every = [entry for kind in mark["kinds"] for entry in registry.entries(kind).values()]
    entries = [_spelled_out(_entry_schema(entry)) for entry in every]
    free = sorted(entry["title"] for entry in entries if not entry.get("required"))
    named = [{**entry, **_named(key, entry)} for entry in entries]
    for entry in named if beside else ():
        entry["properties"] |= _untitled(beside.model_json_schema())["properties"]
    return {"anyOf": [*([{"enum": free}] if free else []), *named]}


def _named(key: str, entry: dict[str, Any]) -> dict[str, Any]:
    properties = {key: {"const": entry["title"], "description": entry["description"]}, **entry.get("properties", {})}
    return {"properties": properties, "required": [key, *entry.get("required", [])]}


# ---- for people


def markdown() -> str:
    """config/README.md: the keys in the order of a config, each choice followed by everything that it can name."""
    schema = Config.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {kind for section in sections for node in section.get("properties", {}).values() for kind in _kinds(node)}
    lines = [HEADER, *_section("", schema, schema, keys, set())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def texts() -> dict[str, str]:
    """Path -> description of every key and every option, empty where none is written."""
    return {path: node.get("description", "") for path, node in nodes().items()}


def nodes() -> dict[str, dict[str, Any]]:
    """Path -> what the JSON Schema says, of every key and every option; a name that is chosen is part of the path."""
    found: dict[str, dict[str, Any]] = {}
    _collect("", json_schema(), json_schema(), found)
    return found


def _section(path: str, node: dict[str, Any], schema: dict[str, Any], keys: set[str], told: set[str]) -> Iterator[str]:
    """A heading and a table, then the sections and choices inside that are not told yet; `keys` name their kinds."""
    yield from [f"{_level(path)} `{path}`" if path else "## The top", "", node.get("description", ""), ""]
    yield from _table(node, schema)
    for key, value in node.get("properties", {}).items():
        inner = f"{path}.{key}".removeprefix(".")
        for name, section in _inside(value, schema):
            if section["title"] not in told:
                told.add(section["title"])
                yield from ["", *_section(f"{inner}{name}", section, schema, keys, told)]
        for kind in _kinds(value):
            yield from ["", *_kind(inner, kind, keys)]
        if value.get("x-choice", {}).get("weighted"):
            term = Term.model_json_schema()
            yield from [f"Of a list of these `{inner}` is the weighted sum; each takes, beside its options:", ""]
            yield from _table(term, term)


def _kinds(node: dict[str, Any]) -> list[str]:
    """The kinds of code that a key names, be it as one of several things that it takes."""
    options = [*node.get("anyOf", []), *([node["items"]] if "items" in node else [])]
    named = [] if any("$ref" in option for option in options) else [k for option in options for k in _kinds(option)]
    return list(dict.fromkeys([*node.get("x-choice", {}).get("kinds", []), *node.get("x-names", []), *named]))


def _level(path: str) -> str:
    return "#" * (2 + path.replace(".<name>", "").count("."))


def _inside(node: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sections that a key holds, each with what follows the key in its path."""
    for option in node.get("anyOf", [node]):
        if "$ref" in option:
            yield "", schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
        for value in option.get("patternProperties", {}).values():
            yield from ((".<name>", section) for _, section in _inside(value, schema))


def _kind(path: str, kind: str, keys: set[str]) -> Iterator[str]:
    """Everything of a kind, then of the kinds that its options name and no key of the config."""
    yield from [f"{_level(path)} Every {kind.replace('_', ' ')}, for `{path}`", ""]
    every = registry.entries(kind).values()
    for entry in every:
        schema = _entry_schema(entry)
        yield from [f"**`{entry.name}`**: {entry.summary}", ""]
        if schema.get("properties"):
            yield from [*_table(schema, schema), ""]
    inner = {choice: f"{path}.{key}" for entry in every for key, choice in entry.choices.items()}
    for choice in (choice for choice in inner if choice not in keys):
        yield from _kind(inner[choice], choice, keys)


def _table(section: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    yield "| key | what it is | what it takes | default |"
    yield "|---|---|---|---|"
    for key, node in section.get("properties", {}).items():
        cells = [f"`{key}`", node.get("description", ""), _taken(node, schema), _default(key, node, section)]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _taken(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if "x-choice" in node:
        choice = f"{article(called(node['x-choice']))}, see below"
        types = {option.get("type") for option in node.get("anyOf", [node])}
        if {"string", "array"} <= types:
            return f"{choice}, or a list of such"
        return f"a list, each {choice}" if "array" in types else choice
    if not any(True for _ in _inside(node, schema)):
        return describe(node, schema, quote="`")
    simple = [option for option in node.get("anyOf", []) if "$ref" not in option]
    other = f"{describe({'anyOf': simple}, schema, quote='`')}, or " if simple else ""
    return "names, each to what is below" if node.get("type") == "object" else f"{other}keys, see below"


def _default(key: str, node: dict[str, Any], section: dict[str, Any]) -> str:
    if key in section.get("required", ()):
        return "required"
    value = node.get("default")
    text = re.sub(r"(?<![.\d])(\d+)e", r"\1.0e", json.dumps(value, ensure_ascii=False))  # as YAML wants it
    return "see below" if isinstance(value, dict) and value else f"`{text}`"


def _collect(path: str, node: dict[str, Any], schema: dict[str, Any], found: dict[str, Any]) -> None:
    for key, value in node.get("properties", {}).items():
        inner = f"{path}.{key}".removeprefix(".")
        if not found.get(inner, {}).get("description"):
            found[inner] = value
        for name, section in _inside(value, schema):
            _collect(f"{inner}{name}", section, schema, found)
        for option in _choices(value):
            _collect(f"{inner}.{option.get('title', '')}", option, schema, found)


def _choices(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a key may name, be it in a list."""
    for option in node.get("items", node).get("anyOf", []):
        inner = option.get("items", option)
        yield from inner["anyOf"] if "anyOf" in inner else [option]


def main() -> None:
    """Write both files below the working directory."""
    write_text(SCHEMA, json.dumps(json_schema(), indent=1) + "\n")
    write_text(TABLE, markdown())
    print(f"{SCHEMA}\n{TABLE}", file=sys.stderr)


if __name__ == "__main__":
    if not Path("m2m_core").is_dir():
        sys.exit("run this in the top folder of the repository")
    main()
