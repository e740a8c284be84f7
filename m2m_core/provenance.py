"""Which code makes a result: a digest that ignores comments, docstrings, layout and dates. Static: nothing is imported."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from .registry import Entry

__all__ = ["code_of", "fingerprint", "modules_of"]

PACKAGE = Path(__file__).parent


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that depend on the content of `value` (JSON types) but not on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def code_of(*code: str | Entry) -> str:
    """Digest of modules ('m2m_core.training') and entries, with all that they import from their package, transitively."""
    return fingerprint({name: _read(str(path))[1] for name, path in modules_of(*code).items()})


def modules_of(*code: str | Entry) -> dict[str, Path]:
    """Module name -> file, of all modules that `code` executes in this package or in a plugin."""
    queue = [(c.module, c.path) if isinstance(c, Entry) else (c, _file(c)) for c in code]
    seen: dict[str, Path] = {}
    while queue:
        name, path = queue.pop()
        if path is None:
            raise ModuleNotFoundError(name)
        if name not in seen:
            seen[name] = path
            found = _imports(str(path), name, path.name == "__init__.py")
            queue += [(n, file) for n in found if (file := _file(n, path, name))]
    return dict(sorted(seen.items()))


def _file(name: str, importer: Path | None = None, importer_name: str = "") -> Path | None:
    """The file of a module of this package, or of the package that the importing module belongs to."""
    top, *rest = name.split(".")
    root = PACKAGE if top == PACKAGE.name else None
    if root is None and importer is not None and importer_name.split(".")[0] == top and "." in importer_name:
        depth = importer_name.count(".") - (importer.name == "__init__.py")
        root = importer.parents[depth]
    if root is None:
        return None
    base = root.joinpath(*rest)
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


def _imports(path: str, module: str, is_package: bool) -> Iterator[str]:
    for node in ast.walk(_read(path)[0]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:  # importing a.b.c also runs a and a.b
            parts = name.split(".")
            yield from (".".join(parts[:i]) for i in range(1, len(parts) + 1))


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".") if is_package else module.split(".")[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


@lru_cache(maxsize=None)
def _read(path: str) -> tuple[ast.Module, str]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree, hashlib.sha256(ast.dump(tree).encode()).hexdigest()
