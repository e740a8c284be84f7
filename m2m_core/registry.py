"""Name -> code, found by reading the sources and never by importing them, so that a config is checked without torch.

Any class or function of this package, or of a plugin, becomes nameable in the config by one line above it,
`@register("model", "vnet")`. Its options are its annotated keyword-only arguments (see `options`).
"""

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from . import options as option_types
from .errors import ConfigError
from .wording import complaint, hint, joined, shown

__all__ = [
    "STRICT",
    "Entry",
    "check",
    "complete",
    "entries",
    "find",
    "hint",
    "is_ours",
    "load",
    "of_plugin",
    "register",
    "silent",
    "taken",
    "use_plugins",
]

PACKAGE = Path(__file__).resolve().parent
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
TYPES = {name: getattr(option_types, name) for name in option_types.__all__}
TYPES |= {"int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict, "None": None}
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
TAKEN = ("name", "kind")  # how the config names the code itself
ASKED = ("family",)  # kinds that no plugin can add
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
    arguments: tuple[str, ...] = ()  # what it takes by position, without self

    @property
    def is_plugin(self) -> bool:
        """Whether the code is not of this package."""
        return PACKAGE not in self.path.parents

    def schema(self) -> type[BaseModel]:
        """The pydantic model of the options, each under its name as an alias: an option may be called `copy`."""
        return _schema(self)

    @property
    def choices(self) -> dict[str, str]:
        """Option -> kind, of the options that name code themselves."""
        kinds = {key: option_types.kind_of(option) for key, (option, _) in self.options.items()}
        return {key: kind for key, kind in kinds.items() if kind}


def use_plugins(plugins: Iterable[str]) -> None:
    """Make the code of these files and installed packages nameable, and forget all earlier plugins."""
    earlier, PLUGINS[:] = list(PLUGINS), plugins
    if earlier or PLUGINS:
        _table.cache_clear()
        _kinds.cache_clear()


def entries(kind: str) -> dict[str, Entry]:
    """All entries of one kind by name, sorted."""
    return dict(_kinds().get(kind, {}))


def find(kind: str, name: str, where: str | None = None) -> Entry:
    """The entry called `name`; raises ConfigError with the nearest known name."""
    known = _kinds().get(kind, {})
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{where or kind}: unknown {kind} {shown(name)}; {hint(name, known)}{silent()}")
    return known[name]


def of_plugin(file: str) -> bool:
    """Whether a file is one of the plugins in use."""
    return Path(file).resolve() in {path.resolve() for plugin in PLUGINS for path, _ in plugin_files(plugin)}


def silent() -> str:
    """For an error about a name that is not known: the plugins in which nothing is registered."""
    found = {entry.path.resolve() for entry in _table().values() if entry.is_plugin}
    files = {plugin: {path.resolve() for path, _ in plugin_files(plugin)} for plugin in PLUGINS}
    empty = [plugin for plugin, paths in files.items() if not paths & found]
    text = '; nothing in {} is registered: expected @register("kind", "name") above its functions and classes'
    return text.format(", ".join(map(shown, empty))) if empty else ""


def check(kind: str, name: str, values: Mapping, where: str | None = None) -> dict:
    """`values` with all defaults filled in; raises ConfigError on an unknown, missing or mistyped option."""
    entry = find(kind, name, where)
    model = entry.schema()
    defaults = {key: default for key, (_, default) in entry.options.items() if default is not ...}
    values = {**defaults, **values}
    try:
        checked = model.model_validate(values).model_dump(by_alias=True)
    except ValidationError as error:
        raise ConfigError(complaint(error, model.model_json_schema(), values, where or kind, repr(name))) from None
    for key, inner in entry.choices.items():
        if checked[key] is not None:
            checked[key] = complete(inner, checked[key], joined(where or kind, key))
    return checked


def complete(kind: str, value: str | Mapping, where: str) -> dict:
    """`vnet`, or `{name: vnet, width: 8}`, as a name with all its options; raises ConfigError."""
    options = {"name": value} if isinstance(value, str) else dict(value)
    if "name" not in options:
        raise ConfigError(f"{where}.name: missing; {hint('', entries(kind))}")
    name = options.pop("name")
    find(kind, name, where if isinstance(value, str) else f"{where}.name")
    return {"name": name, **check(kind, name, options, where)}


def taken(kind: str, name: str, values: Mapping, where: str | None = None) -> dict:
    """Those of `values` that are options of an entry, checked and completed; raises ConfigError."""
    known = find(kind, name, where).options
    return check(kind, name, {key: value for key, value in values.items() if key in known}, where)


def is_ours(kind: str, name: str) -> bool:
    """Whether there is such an entry in this package; plugins may need what only the jobs have."""
    entry = _kinds().get(kind, {}).get(name)
    return entry is not None and not entry.is_plugin


def load(kind: str, name: str) -> Any:
    """Import the module of an entry and return the class or function itself."""
    entry = find(kind, name)
    return getattr(_module(entry), entry.attribute)


@cache
def _schema(entry: Entry) -> type[BaseModel]:
    options = {f"option_{i}": (t, Field(d, alias=key)) for i, (key, (t, d)) in enumerate(entry.options.items())}
    return create_model(entry.name, __config__=STRICT, **options)


# ---- reading the sources


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], Entry]:
    table: dict[tuple[str, str], Entry] = {}
    own = {path: _module_name(path) for path in sorted(PACKAGE.rglob("*.py"))}
    for path, module in own.items():
        for entry in _scan(path, module):
            _add(table, entry)
    kinds = {kind for kind, _ in table}
    added = {path.resolve(): module for plugin in PLUGINS for path, module in plugin_files(plugin)}
    for path in sorted(added.keys() - own.keys()):
        for entry in _scan(path, added[path]):
            if entry.kind not in kinds:
                raise ConfigError(f"plugins: {path}: unknown kind {entry.kind!r}; {hint(entry.kind, kinds)}")
            if entry.kind in ASKED:
                text = f"{entry.kind} {entry.name!r} would be asked before any job, when no code of plugins runs"
                raise ConfigError(f"plugins: {path}: {text}; expected none: a task of a plugin makes fields of fields")
            _add(table, entry)
    return table


@lru_cache(maxsize=1)
def _kinds() -> dict[str, dict[str, Entry]]:
    kinds: dict[str, dict[str, Entry]] = {}
    for (kind, name), entry in sorted(_table().items()):
        kinds.setdefault(kind, {})[name] = entry
    return kinds


def _add(table: dict[tuple[str, str], Entry], entry: Entry) -> None:
    if (other := table.setdefault((entry.kind, entry.name), entry)) is not entry:
        text = f"{entry.kind} {entry.name!r} is in {other.path} already; expected another name"
        raise ConfigError(f"plugins: {entry.path}: {text}")


def plugin_files(plugin: str) -> list[tuple[Path, str]]:
    """The Python files of a plugin (a path or an installed package) and the module names they get."""
    path = Path(plugin)
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigError(f"plugins: {plugin}: no such file; expected a path from {Path.cwd()}")
        return [(path, "m2m_plugin_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12])]
    try:
        spec = importlib.util.find_spec(plugin) if re.fullmatch(r"[A-Za-z_]\w*", plugin) else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ConfigError(f"plugins: {shown(plugin)}; expected a .py file or an installed package")
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


def _scan(path: Path, module: str) -> Iterator[Entry]:
    """The entries of a file; raises ConfigError with file and line on a registration that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        body = ast.parse(text).body if "@register(" in text and ("m2m_core" in text or PACKAGE in path.parents) else []
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(f"{path}:{line}: not readable as Python: {getattr(error, 'msg', str(error))[:100]}") from None
    for node in body:
        for kind, name in _names(node, path):
            summary, texts = _documentation(ast.get_docstring(node) or "")  # type: ignore[arg-type]
            named = kind, name, module, node.name, path  # type: ignore[attr-defined]
            yield Entry(*named, _options(node, path), texts, summary, _arguments(node))


def _names(node: ast.AST, path: Path) -> Iterator[tuple[str, str]]:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "register":
            words = [argument.value for argument in decorator.args if isinstance(argument, ast.Constant)]
            words = [word for word in words if isinstance(word, str) and NAME.fullmatch(word)]
            if len(words) != 2 or len(decorator.args) != 2 or decorator.keywords:
                expected = 'expected @register("kind", "name"), both literal words of a-z, 0-9 and _'
                raise ConfigError(f"{path}:{decorator.lineno}: {ast.unparse(decorator)}; {expected}")
            yield words[0], words[1]


def _function(node: ast.AST) -> Any:
    """What is called: the function itself, or the constructor of a class if it has one."""
    if isinstance(node, ast.ClassDef):
        return next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    return node


def _arguments(node: ast.AST) -> tuple[str, ...]:
    function = _function(node)
    return tuple(a.arg for a in function.args.args if a.arg != "self") if function else ()


def _options(node: ast.AST, path: Path) -> dict:
    function = _function(node)
    if function is None:
        return {}
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {a.arg: (_type(a, path), ... if d is None else _default(a, d, path)) for a, d in pairs}


def _type(argument: ast.arg, path: Path) -> Any:
    if argument.arg in TAKEN:
        raise ConfigError(f"{path}:{argument.lineno}: an option {argument.arg!r}; expected another name")
    try:
        return eval(ast.unparse(argument.annotation), {"__builtins__": {}}, TYPES)  # type: ignore[arg-type]
    except Exception:
        known = ", ".join(sorted(TYPES))
        raise ConfigError(f"{path}:{argument.lineno}: option {argument.arg!r} needs a type out of: {known}") from None


def _default(argument: ast.arg, value: ast.expr, path: Path) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        text = f"option {argument.arg!r} has the default {ast.unparse(value)}; expected a literal"
        raise ConfigError(f"{path}:{value.lineno}: {text}") from None


def _documentation(text: str) -> tuple[str, dict[str, str]]:
    summary, _, rest = text.partition("\n")
    _, _, lines = rest.partition("Options:\n")
    return summary, dict(re.findall(r"^\s+(\w+): (.+)$", lines, re.M))


def _module(entry: Entry) -> Any:
    """The imported module; a plugin that is one file gets a private name, so that it shadows nothing."""
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
