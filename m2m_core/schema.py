"""The JSON Schema of the config, from which editors complete, and config/README.md: both generated, never edited.

`python -m m2m_core.schema` writes both.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import registry
from .config import Config
from .files import write_text
from .registry import Entry

__all__ = ["json_schema", "main", "markdown"]

SCHEMA = "workflow/schemas/config.schema.json"
TABLE = "config/README.md"
HEADER = """# Every key of the config

Generated from `m2m_core/config.py` and the options of everything that the config can name; do not edit.
Editors that speak YAML complete and check the keys from `workflow/schemas/config.schema.json`.

A key that names code (*choice*) takes a name, `model: vnet`, or a mapping with options, `model: {name: vnet, width: 8}`.
"""


def json_schema() -> dict[str, Any]:
    """The schema of the config (draft 2020-12), every choice spelled out with its options."""
    schema = Config.model_json_schema()
    known = {kind: {n: _entry_schema(e) for n, e in registry.entries(kind).items()} for kind in _kinds(schema)}
    schema = _spelled_out(schema, known)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for table in ("datasets", "experiments", "ablations"):  # null removes what an earlier file defines
        patterns = schema["properties"][table]["patternProperties"]
        patterns.update({pattern: {"anyOf": [section, {"type": "null"}]} for pattern, section in patterns.items()})
    return schema


def _kinds(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = set(node.get("x-choice", {}).get("kinds", ()))
        return own.union(*(_kinds(value) for value in node.values()))
    return set().union(*(_kinds(value) for value in node)) if isinstance(node, list) else set()


def _entry_schema(entry: Entry) -> dict[str, Any]:
    schema = entry.schema().model_json_schema()
    for key, text in entry.texts.items():
        if key in schema.get("properties", {}):
            schema["properties"][key]["description"] = text
    return {**schema, "description": entry.summary}


def _spelled_out(node: Any, known: dict[str, dict[str, Any]]) -> Any:
    if isinstance(node, list):
        return [_spelled_out(value, known) for value in node]
    if not isinstance(node, dict):
        return node
    if "x-choice" not in node:
        return {key: _spelled_out(value, known) for key, value in node.items()}
    choice = _choice(node["x-choice"]["key"], {k: v for kind in node["x-choice"]["kinds"] for k, v in known[kind].items()})
    kept = {key: node[key] for key in ("default", "description") if key in node}
    if "type" in node and node["type"] == "array":
        return {**kept, "type": "array", "items": choice}
    if any(option.get("type") == "array" for option in node.get("anyOf", [])):
        return {**kept, "anyOf": [{"type": "array", "items": choice}, {"type": "null"}]}
    return {**kept, **choice}


def _choice(key: str, entries: dict[str, Any]) -> dict[str, Any]:
    free = [name for name, entry in entries.items() if not entry.get("required")]
    objects = [
        {**entry, "properties": {key: {"const": name}, **entry.get("properties", {})}, "required": [key, *entry.get("required", [])]}
        for name, entry in entries.items()
    ]  # fmt: skip
    return {"anyOf": [{"enum": free}, *objects]}


# ---- the table for people


def markdown() -> str:
    """config/README.md: a table for each section, then one for everything that can be named."""
    schema = Config.model_json_schema()
    parts = [HEADER, "## The top", "", *_table(schema, schema)]
    for name, section in schema["$defs"].items():
        parts += ["", f"## {name}", "", section.get("description", ""), "", *_table(section, schema)]
    for kind in sorted(_kinds(schema) | {"transform", "scaling"}):
        parts += ["", f"## Every {kind}", ""]
        for entry in registry.entries(kind).values():
            parts += _entry_lines(entry)
    return "\n".join(parts) + "\n"


def _table(section: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    yield "| key | what | type and range | default |"
    yield "|---|---|---|---|"
    required = section.get("required", [])
    for key, node in section.get("properties", {}).items():
        default = "required" if key in required else f"`{_shown(node.get('default'))}`"
        yield f"| `{key}` | {_escaped(node.get('description', ''))} | {_escaped(_type(node, schema))} | {_escaped(default)} |"


def _entry_lines(entry: Entry) -> Iterator[str]:
    yield f"**`{entry.name}`** — {entry.summary}"
    yield ""
    schema = entry.schema().model_json_schema()
    for key, text in entry.texts.items():
        if key in schema.get("properties", {}):
            schema["properties"][key]["description"] = text
    if schema.get("properties"):
        yield from _table(schema, schema)
        yield ""


def _type(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if "x-choice" in node:
        kinds = ", ".join(node["x-choice"]["kinds"])
        return f"{'list of ' if node.get('type') == 'array' else ''}choice of {kinds}"
    if "$ref" in node:
        return f"section {node['$ref'].rsplit('/', 1)[1]}"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "anyOf" in node:
        return " or ".join(_type(option, schema) for option in node["anyOf"])
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), schema)}"
    if node.get("type") == "object":
        values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        return f"name -> {_type(values[0], schema)}" if isinstance(values[0], dict) else "name -> anything"
    return " ".join(filter(None, [node.get("type", "any"), _range(node)]))


def _range(node: dict[str, Any]) -> str:
    bounds = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"), ("pattern", "like")]
    return ", ".join(f"{sign} {node[key]}" for key, sign in bounds if key in node)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else "its own defaults"


def _escaped(text: str) -> str:
    return text.replace("\\|", "|").replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write both files below the working directory."""
    write_text(SCHEMA, json.dumps(json_schema(), indent=1) + "\n")
    write_text(TABLE, markdown())
    print(f"{SCHEMA}\n{TABLE}", file=sys.stderr)


if __name__ == "__main__":
    if not Path("m2m_core").is_dir():
        sys.exit("run this in the top folder of the repository")
    main()
