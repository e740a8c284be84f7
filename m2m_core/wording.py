"""What a key of the config takes, and what is wrong with a value, in words: for errors and for the table."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from .errors import printable
from .options import LIMIT, MANY, NAME

__all__ = ["article", "called", "complaint", "describe", "hint", "joined", "short", "shown"]

PLAIN = re.compile(r"(?=.{1,80}$)[\w-]+(\.[\w-]+)*")
WORDS: dict[object, str] = {None: "null", True: "true", False: "false"}
QUOTES = "; text that looks like something else takes quotes"
POWER = re.compile(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)")
ORDER = {"array": 1, "object": 2}  # simple values first
KNOWN = 20  # names that a hint lists
Schema = Mapping[str, Any]


def hint(word: object, known: Iterable[str]) -> str:
    """'did you mean ...?' for the nearest of `known`, else the list of them."""
    known = sorted(known)
    if close := difflib.get_close_matches(str(word)[:100].lower(), known, 1):
        return f"did you mean {close[0]!r}?"
    more = f", ... ({len(known)} in all)" if len(known) > KNOWN else ""
    return f"known: {', '.join(known[:KNOWN]) or 'none'}{more}"


def joined(where: str, *parts: object) -> str:
    """The path of a key: `experiments.vnet.evaluation[0]`, odd names quoted."""
    for part in parts:
        name = part if isinstance(part, str) and PLAIN.fullmatch(part) else shown(part)
        where += f"[{part}]" if isinstance(part, int) else f".{name}" if where else name
    return where


def shown(value: object) -> str:
    """A value for an error, at most 80 characters."""
    return WORDS[value] if value is None or isinstance(value, bool) else short(repr(value))


def short(text: str) -> str:
    """At most 80 characters of one line."""
    text = printable(text)
    return text if len(text) <= 80 else text[:77] + "..."


def article(word: str) -> str:
    """`word` after a or an."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


# ---- what is wrong


def complaint(error: ValidationError, schema: Schema, raw: Any, where: str, owner: str = "this section") -> str:
    """The first problem with `raw` as one line: key, what was given, what is expected, the nearest name.

    Of the alternatives of a key, that one complains which fits best: of [32, 0] the second number, not the list.
    """
    problems = [(_path(e["loc"], raw, e["type"]), e) for e in error.errors(include_url=False)]
    path, first = min(problems, key=lambda p: not _is_name(p[1]))  # a misspelt key explains a missing one
    if not _is_name(first):
        near = [p for p in problems if p[0][: len(path)] == path]
        path, first = max(near, key=lambda p: (len(p[0]), p[1]["type"] == "value_error"))  # words beat types
    key, node = joined(where, *path), _node(schema, path)
    if first["type"] == "extra_forbidden":
        known = [name for node in _options(_node(schema, path[:-1]), schema) for name in node.get("properties", ())]
        return f"{key}: {owner} has no such key; {hint(path[-1], {*known} - {path[-1]})}"
    if first["type"] == "missing":
        return f"{key}: missing; expected {describe(node, schema)}"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    if "[key]" in first["loc"] and first["type"] == "string_type":  # the location has no number but an integer
        above = path[:-1] if path[-1] == first["input"] else path
        return f"{joined(where, *above)}: name {first['input']!r}; expected text{QUOTES}"
    if "[key]" in first["loc"]:
        return f"{joined(where, *path[:-1])}: name {shown(path[-1])}; expected {describe({'pattern': NAME}, schema)}"
    expected = describe(node, schema, exact="less_than" in first["type"])
    if first["type"] == "finite_number":
        expected = expected.replace("number", "finite number")
    return f"{key}: got {shown(first['input'])}; expected {expected}{_advice(first['input'], node, schema)}"


def _is_name(error: Mapping[str, Any]) -> bool:
    return error["type"] == "extra_forbidden" or "[key]" in error["loc"]


def _path(loc: Sequence[int | str], raw: Any, kind: str) -> tuple[int | str, ...]:
    """The keys of an error's location, without the names of alternatives that pydantic puts between them."""
    path: list[int | str] = []
    for part in loc:
        if isinstance(raw, Mapping) and part in raw or isinstance(raw, list) and isinstance(part, int):
            path.append(part)
            raw = raw[part]  # type: ignore[index]
    return (*path, loc[-1]) if kind == "missing" else tuple(path)


def _advice(value: Any, node: Schema, schema: Schema) -> str:
    """What YAML may have made of what was meant."""
    options = list(_options(node, schema))
    types = {option.get("type") for option in options}
    names = [n for option in options for n in option.get("enum", ())]
    if isinstance(value, str) and value in [str(n) for n in names if not isinstance(n, str)]:
        return "; write it without quotes"
    if isinstance(value, str) and (names := [n for n in names if isinstance(n, str)]):
        close = difflib.get_close_matches(value.lower(), names, 1)
        return f"; did you mean {close[0]!r}?" if close else ""
    if isinstance(value, str) and types & {"integer", "number"}:
        return _number(value, "integer" in types)
    if isinstance(value, bool | int | float) and types == {"string"}:
        return QUOTES
    return ""


def _number(text: str, whole: bool) -> str:
    if (power := POWER.fullmatch(text)) and not whole:
        digits, point, sign, exponent = power.groups()
        return f"; YAML takes {text} for text: write {digits}{(point or '.').ljust(2, '0')}e{sign or '+'}{exponent}"
    return "; write it without quotes" if re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d+)?", text) else ""


# ---- what is expected


def called(mark: dict) -> str:
    """What a key that names code names, from its mark in the schema."""
    return mark.get("called") or " or ".join(mark["kinds"])


def describe(node: Schema, schema: Schema, exact: bool = False, quote: str = "'") -> str:
    """What a node of a JSON schema takes, as in 'an integer of at least 1, or null'.

    exact: tell the limits that are there for technical reasons only; quote: around what is to be typed as it stands
    """
    every = list(_options(node, schema))
    options = sorted((o for o in every if o.get("type") != "null"), key=lambda o: ORDER.get(o.get("type", ""), 0))
    texts = [_list(o) + _such(o) if o.get("items") in options else _one(o, schema, exact, quote) for o in options]
    return ", or ".join([*dict.fromkeys(texts), *(["null"] if len(options) < len(every) else [])]) or "anything"


def _such(node: Schema) -> str:
    return " such" if "minItems" in node else " of such"


def _one(node: Schema, schema: Schema, exact: bool, quote: str) -> str:
    if node.get("type") == "array":
        (item,) = _children(node, 0) or [{}]
        text = describe(item, schema, exact, quote)
        return _list(node) + ("" if text == "anything" else f", each {text}")
    if "x-choice" in node:
        kinds, key = called(node["x-choice"]), node["x-choice"]["key"]
        more = ", or a list of such" if {"string", "array"} <= {o.get("type") for o in node.get("anyOf", ())} else ""
        return f"the name of {article(kinds)}, or a mapping with {key} and options{more}"
    if "x-words" in node:
        return str(node["x-words"])
    if names := node.get("enum") or [node[key] for key in ("const",) if key in node]:
        *most, last = [f"{quote}{name}{quote}" if isinstance(name, str) else str(name) for name in names]
        return f"{', '.join(most)} or {last}" if most else last
    if "pattern" in node:
        return f"a name like {quote}{str(node['pattern']).strip('^$')}{quote}"
    if node.get("type") == "object":
        return _mapping(node, schema, exact, quote)
    kinds = {"integer": "an integer", "number": "a number", "string": "text", "boolean": "true or false"}
    return " ".join(filter(None, [kinds.get(node.get("type", ""), "anything"), _range(node, exact)]))


def _list(node: Schema) -> str:
    low, high = node.get("minItems", 0), node.get("maxItems")
    if high is not None:
        return f"a list of {low} to {high}"
    return f"a list of at least {low}" if low else "a list"


def _mapping(node: Schema, schema: Schema, exact: bool, quote: str) -> str:
    if "properties" in node:
        return f"a mapping with keys {', '.join(node['properties'])}"
    text = f"a mapping of at least {node['minProperties']} name" if "minProperties" in node else "a mapping of names"
    values = _children(node, "")
    return f"{text}, each to {describe(values[0], schema, exact, quote)}" if values else text


def _range(node: Schema, exact: bool) -> str:
    """The limits of a number; those that no one means are told only where they matter."""
    limits = {key: node[key] for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if key in node}
    if not exact:
        limits = {key: value for key, value in limits.items() if abs(value) not in (LIMIT, MANY, 2**63)}
    if {"minimum", "maximum"} <= limits.keys():
        return f"from {_figure(limits['minimum'])} to {_figure(limits['maximum'])}"
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return " and ".join(f"{word} {_figure(limits[key])}" for key, word in words.items() if key in limits)


def _figure(number: float) -> str:
    return {2**63: "2^63", MANY: "10^9", LIMIT: "10^15", -LIMIT: "-10^15"}.get(number, f"{number:g}")


# ---- walking a JSON schema


def _options(node: Schema, schema: Schema) -> Iterator[Schema]:
    """The alternatives that a node allows, references followed."""
    if "x-choice" in node or "x-words" in node:
        yield node
    elif "$ref" in node:
        yield from _options(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    elif "anyOf" in node:
        for option in node["anyOf"]:
            yield from _options(option, schema)
    else:
        yield node


def _node(schema: Schema, path: Iterable[int | str]) -> Schema:
    """The node that describes what lies at `path`, empty where the schema says nothing."""
    nodes: list[Schema] = [schema]
    for part in path:
        options = [option for node in nodes for option in _options(node, schema)]
        named = [option["properties"][part] for option in options if part in option.get("properties", {})]
        nodes = named or [child for option in options for child in _children(option, part)]
    return nodes[0] if len(nodes) == 1 else {"anyOf": nodes} if nodes else {}


def _children(node: Schema, part: int | str) -> list[Schema]:
    if isinstance(part, int):
        item = {"x-choice": node["x-choice"]} if "x-choice" in node else node.get("items")
        return [item] if item else []
    if part in node.get("properties", {}):
        return [node["properties"][part]]
    free = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return [child for child in free if isinstance(child, Mapping)]
