"""Name -> code, found by reading the sources and never by importing them, so that a config is checked without torch.

Any class or function of this package, or of a plugin, becomes nameable in the config by one line above it,
`@register("model", "vnet")`. Its options are its annotated keyword-only arguments (see `options`).
"""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from . import options as option_types
from .errors import ConfigError

__all__ = ["STRICT", "Entry", "check", "complaint", "entries", "find", "hint", "load", "register", "use_plugins"]

PACKAGE = Path(__file__).parent
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
TYPES = {name: getattr(option_types, name) for name in option_types.__all__}
TYPES |= {"int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict, "tuple": tuple, "None": None}
PLUGINS: list[str] = []


def register(kind: str, name: str) -> Callable:
    """Mark the class or function below as what the config calls `name` among the `kind`s."""
    return lambda target: target


@dataclass(frozen=True)
class Entry:
    """One nameable piece of code: where it lives and which options it takes."""

    kind: str
    name: str
    module: str
    attribute: str
    path: Path
    options: dict = field(default_factory=dict, hash=False)  # key -> (type, default or ...)
    texts: dict = field(default_factory=dict, hash=False)  # key -> description
    summary: str = ""

    def schema(self) -> type[BaseModel]:
        """The pydantic model of the options."""
        return create_model(self.name, __config__=STRICT, **self.options)


def use_plugins(plugins: Iterable[str]) -> None:
    """Make the code of these files and installed packages nameable, and forget all earlier plugins."""
    PLUGINS[:] = plugins
    _table.cache_clear()


def entries(kind: str) -> dict[str, Entry]:
    """All entries of one kind by name, sorted."""
    return {name: entry for (k, name), entry in sorted(_table().items()) if k == kind}


def find(kind: str, name: str, where: str | None = None) -> Entry:
    """The entry called `name`; raises ConfigError with the nearest known name."""
    known = entries(kind)
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{where or kind}: unknown {kind} {name!r}; {hint(name, known)}")
    return known[name]


def check(kind: str, name: str, values: Mapping, where: str | None = None) -> dict:
    """`values` with all defaults filled in; raises ConfigError on an unknown, missing or mistyped option."""
    entry = find(kind, name, where)
    try:
        checked = entry.schema().model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(complaint(error, f"{where or kind}", entry.options, owner=f"{name!r}")) from None
    return checked.model_dump()


def load(kind: str, name: str) -> Any:
    """Import the module of an entry and return the class or function itself."""
    entry = find(kind, name)
    return getattr(_module(entry), entry.attribute)


def hint(word: object, known: Iterable[str]) -> str:
    """'did you mean ...?' for the nearest of `known`, else the list of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def complaint(error: ValidationError, where: str, known: Iterable[str] = (), owner: str = "this section") -> str:
    """The first problem of a pydantic error as one line: key, what is wrong, what was given."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a misspelt key explains a missing one
    key = ".".join([where, *(str(part) for part in first["loc"])]).strip(".")
    if first["type"] == "extra_forbidden":
        return f"{key}: {owner} has no such key; {hint(first['loc'][-1], known)}"
    if first["type"] == "missing":
        return f"{key}: required by {owner}"
    text = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", first["input"]):
        text += f" (YAML reads {first['input']} as text: write {float(first['input'])!r} with a point)"
    return f"{key}: {text[0].lower()}{text[1:]}, got {_short(first['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# ---- reading the sources


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], Entry]:
    table: dict[tuple[str, str], Entry] = {}
    sources = [(path, _module_name(path)) for path in sorted(PACKAGE.rglob("*.py"))]
    for path, module in sources + [source for plugin in PLUGINS for source in plugin_files(plugin)]:
        for entry in _scan(path, module):
            if (other := table.setdefault((entry.kind, entry.name), entry)) is not entry:
                raise ConfigError(f"plugins: {entry.kind} {entry.name!r} is in {entry.path} and in {other.path}")
    return table


def plugin_files(plugin: str) -> list[tuple[Path, str]]:
    """The Python files of a plugin (a path or an installed package) and the module names they get."""
    path = Path(plugin)
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigError(f"plugins: {plugin}: no such file")
        return [(path, "m2m_plugin_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12])]
    try:
        spec = importlib.util.find_spec(plugin) if re.fullmatch(r"[A-Za-z_]\w*", plugin) else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(f"plugins: {plugin!r}: neither a .py file nor an installed package")
    roots = spec.submodule_search_locations
    if not roots:
        return [(Path(spec.origin), plugin)]
    top = Path(next(iter(roots)))
    return [(file, ".".join([plugin, *_dotted(file.relative_to(top))])) for file in sorted(top.rglob("*.py"))]


def _module_name(path: Path) -> str:
    return ".".join([PACKAGE.name, *_dotted(path.relative_to(PACKAGE))])


def _dotted(relative: Path) -> tuple[str, ...]:
    parts = relative.with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _scan(path: Path, module: str) -> Iterable[Entry]:
    text = path.read_text(encoding="utf-8")
    if "@register(" not in text:
        return
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from None
    for node in body:
        for kind, name in _names(node):
            summary, texts = _documentation(ast.get_docstring(node) or "")
            yield Entry(kind, name, module, node.name, path, _options(node, path), texts, summary)


def _names(node: ast.AST) -> Iterable[tuple[str, str]]:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "register":
            yield tuple(ast.literal_eval(argument) for argument in decorator.args)


def _options(node: ast.AST, path: Path) -> dict:
    function = node
    if isinstance(node, ast.ClassDef):
        function = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    if function is None:
        return {}
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {a.arg: (_type(a, path), ... if d is None else ast.literal_eval(d)) for a, d in pairs}


def _type(argument: ast.arg, path: Path) -> Any:
    try:
        return eval(ast.unparse(argument.annotation), {"__builtins__": {}}, TYPES)
    except Exception:
        known = ", ".join(sorted(TYPES))
        raise ConfigError(f"{path}:{argument.lineno}: option {argument.arg!r} needs a type out of: {known}") from None


def _documentation(text: str) -> tuple[str, dict[str, str]]:
    summary, _, rest = text.partition("\n")
    _, _, lines = rest.partition("Options:\n")
    return summary, dict(re.findall(r"^\s+(\w+): (.+)$", lines, re.M))


def _module(entry: Entry) -> Any:
    if not entry.module.startswith("m2m_plugin_"):
        return importlib.import_module(entry.module)
    if entry.module not in sys.modules:
        spec = importlib.util.spec_from_file_location(entry.module, entry.path)
        sys.modules[entry.module] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[entry.module])
        except BaseException:
            del sys.modules[entry.module]
            raise
    return sys.modules[entry.module]
