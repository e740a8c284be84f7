"""Which code makes a result: a digest that ignores comments, docstrings, layout and dates. Nothing is imported."""

import ast
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .registry import Entry

__all__ = ["code_of", "fingerprint", "modules_of", "with_file"]

PACKAGE = Path(__file__).resolve().parent
ASSETS = (".html", ".css")
SEEN: dict[str, dict[str, str]] = {}  # digest of code -> module -> digest, of all that this process asked for


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that depend on the content of `value` (JSON types) but not on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def code_of(*code: str | Entry) -> str:
    """Digest of modules ('m2m_core.training') and entries, with all that they import from their package, transitively.

    What lies beside a module under its name, as `page.html` beside `page.py`, belongs to it.
    """
    return _kept({_lasting(name, path): _digest(str(path)) for name, path in modules_of(*code).items()})


@cache
def with_file(code: str, path: Path) -> str:
    """The digest of code and of one file more, which stands outside the package; its imports are not followed."""
    return _kept({**SEEN[code], f"{path.parent.name}/{path.name}": _digest(str(path))})


def _kept(modules: dict[str, str]) -> str:
    code = fingerprint(modules)
    SEEN[code] = modules
    return code


def _lasting(name: str, path: Path) -> str:
    """The name of a module; of a plugin that is one file its path from here, so that the folder may move with it."""
    return os.path.relpath(path) if name.startswith("m2m_plugin_") else name


def modules_of(*code: str | Entry) -> dict[str, Path]:
    """Module name -> file, of all modules that `code` executes in this package or in a plugin."""
    queue = [(c.module, c.path) if isinstance(c, Entry) else (c, _file(c)) for c in code]
    queue += [package for c in code if isinstance(c, Entry) and c.is_plugin for package in _packages(c)]
    seen: dict[str, Path] = {}
    while queue:
        name, path = queue.pop()
        if path is None:
            raise ModuleNotFoundError(name)
        if name not in seen:
            seen[name] = path
            queue += _imports(str(path), name)
    return dict(sorted(seen.items()))


def _packages(entry: Entry) -> Iterator[tuple[str, Path]]:
    """Those that a module of a plugin lies in, which run when it is imported; a folder may be none."""
    parts = entry.module.split(".")
    for end in range(1, len(parts)):
        if (path := _file(name := ".".join(parts[:end]), entry.path, entry.module)) is not None:
            yield name, path


def _file(name: str, importer: Path | None = None, importer_name: str = "") -> Path | None:
    """The file of a module of this package, or of the package that the importing module belongs to."""
    top, *rest = name.split(".")
    root = PACKAGE if top == PACKAGE.name else None
    if root is None and importer is not None and importer_name.split(".")[0] == top:
        root = _root(importer, importer_name)
    if root is None:
        return None
    base = root.joinpath(*rest)
    files = (base / "__init__.py", base.with_name(f"{base.name}.py")) if rest else (base / "__init__.py",)
    return next((file for file in files if file.is_file()), None)


def _root(path: Path, name: str) -> Path | None:
    """The top folder of the package of the module `name`, None if it is no part of one."""
    inside = name.count(".") + (path.name == "__init__.py")
    return path.parents[inside - 1] if inside else None


@cache
def _imports(path: str, module: str) -> list[tuple[str, Path]]:
    """(name, file) of every module of the same package that a module imports, and of the packages they are in."""
    found: dict[str, Path | None] = {}
    for node in _statements(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, Path(path).name == "__init__.py")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:  # importing a.b.c also runs a and a.b
            parts = name.split(".")
            found |= {part: None for i in range(1, len(parts) + 1) if (part := ".".join(parts[:i])) not in found}
    files = {name: _file(name, Path(path), module) for name in found}
    return [(name, file) for name, file in files.items() if file is not None]


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`, which never run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (inner for other in child.orelse for inner in ast.walk(other))
        else:
            yield child
            yield from _statements(child)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".") if is_package else module.split(".")[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


@cache
def _tree(path: str) -> ast.Module:
    """The syntax of a file without docstrings."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def _digest(path: str) -> str:
    digest = hashlib.sha256(ast.dump(_tree(path)).encode())
    for file in (Path(path).with_suffix(suffix) for suffix in ASSETS):
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()
