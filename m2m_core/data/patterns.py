"""File patterns: which files match, and what their wildcards say about the sample."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import DataError
from .readers import named, printable, suffixes

__all__ = ["Match", "expand", "files", "has_wildcards", "placeholders", "words"]

TOKEN = re.compile(r"\*\*/|\*+|\?|\[!?\]?[^\]/]*\]|\{[a-z][a-z0-9_]*\}")
ESCAPED = ("[*]", "[?]", "[[]")  # what glob.escape writes: a literal, not a wildcard


@dataclass(frozen=True, slots=True)
class Match:
    """A file and the sample that its path names; `group` is "" without a placeholder."""

    file: str
    id: str
    group: str


def expand(pattern: str) -> list[Match]:
    """The files that match and the samples they belong to, sorted by path; raises as `files`.

    The id is `{id}` where the pattern has it, else the text of all wildcards joined by "-", else the stem.
    """
    expression = _expression(pattern)
    found = ((file, expression.fullmatch(file)) for file in files(pattern))
    return [Match(file, _id(m, file), m.groupdict().get("group") or "") for file, m in found if m is not None]


def words(pattern: str, name: str) -> dict[str, str] | None:
    """The text of each {placeholder} of a pattern in a name that matches it, in their order; None if it does not."""
    found = _expression(pattern).fullmatch(name)
    return found and found.groupdict()


def placeholders(pattern: str) -> list[str]:
    """The words in braces of a pattern, in their order."""
    return [token[1:-1] for token in TOKEN.findall(pattern) if token[0] == "{"]


def has_wildcards(pattern: str) -> bool:
    """Whether a pattern may match several names."""
    return TOKEN.search(pattern) is not None


def files(pattern: str) -> list[str]:
    """The regular files that match, sorted; DataError when there are none, or when a match is no regular file.

    `*`, `?`, `[...]` match within a name, `**` any number of folders (links to folders are not followed there).
    """
    pattern = _canonical(pattern)
    found = dict(_walk("/" if pattern.startswith("/") else "", tuple(filter(None, pattern.split("/")))))
    if not found:
        raise DataError(f"{_where(pattern)}: no such file")
    for file, regular in found.items():
        if not regular:
            kind = "a folder" if os.path.isdir(file) else "not a regular file, or a link to none"
            raise DataError(f"{printable(file)}: {kind}; {_where(pattern)} must match regular files only")
    return sorted(found)


def _where(pattern: str) -> str:
    folder = pattern
    while TOKEN.search(folder):
        folder = os.path.dirname(folder)
    folder = folder if folder != pattern else os.path.dirname(pattern)
    return f"pattern {pattern!r} in the folder {printable(os.path.abspath(folder))}"


def _id(found: re.Match, file: str) -> str:
    if found.groupdict().get("id"):
        return found["id"]
    stem, suffix = os.path.splitext(os.path.basename(file))
    name = "-".join(filter(None, found.groups()))
    known = suffix.lower() in suffixes()
    if known and name.endswith(suffix):  # the pattern ends with a wildcard
        name = name.removesuffix(suffix)
    return name or (stem if known else stem + suffix)


def _canonical(path: str) -> str:
    return re.sub("/+", "/", path)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern:
    pattern = _canonical(pattern)
    text, seen, position = "", set(), 0
    for token in TOKEN.finditer(pattern):
        text += re.escape(pattern[position : token.start()]) + _group(token[0], seen)
        position = token.end()
    return re.compile(text + re.escape(pattern[position:]), re.DOTALL)


def _group(token: str, seen: set[str]) -> str:
    if token == "**/":
        return "(?:[^/]+/)*"
    if token[0] == "{":
        name = token[1:-1]
        text = f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
        seen.add(name)
        return text
    if token in ESCAPED:
        return re.escape(token[1])
    if token[0] == "[":
        inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
        return f"([{'^' + inside[1:] if inside[:1] == '!' else inside}])"
    return "([^/])" if token == "?" else "([^/]*)"


def _walk(folder: str, steps: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """(path, whether it is a regular file) of what matches below a folder."""
    step, rest = steps[0], steps[1:]
    if step == "**":
        yield from _walk(folder, rest or ("*",))
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _walk(entry.path, steps)
    elif TOKEN.search(step):
        yield from _matching(folder, step, rest)
    else:
        path = os.path.join(folder, step)
        if not rest and os.path.lexists(path):
            yield path, os.path.isfile(path)
        elif rest and os.path.isdir(path):
            yield from _walk(path, rest)


def _matching(folder: str, step: str, rest: Sequence[str]) -> Iterator[tuple[str, bool]]:
    match = _expression(step).fullmatch
    for entry in _entries(folder):
        if match(entry.name) and (not entry.name.startswith(".") or step.startswith(".")):
            if not rest:
                yield entry.path, _regular(entry)
            elif os.path.isdir(entry.path):
                yield from _walk(entry.path, rest)


def _regular(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _entries(folder: str) -> list[os.DirEntry]:
    if folder and not os.path.isdir(folder):
        return []
    with named(folder or "."), os.scandir(folder or None) as entries:
        found = list(entries)
    return found if folder else [_Bare(entry) for entry in found]


class _Bare:
    """An entry of the working directory, its path without './'."""

    def __init__(self, entry: os.DirEntry) -> None:
        self.name = self.path = entry.name
        self.is_dir, self.is_file = entry.is_dir, entry.is_file
