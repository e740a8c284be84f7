"""What a section is made of: text, tables, figures. Sections hold no HTML: the page template does, and escapes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Block", "Cell", "Code", "Column", "Group", "Picture", "Section", "Table", "Text"]


@dataclass(frozen=True)
class Text:
    """A paragraph: the headline of the page, plain, small print, or something the reader must not miss."""

    text: str
    kind: Literal["lead", "plain", "small", "warning"] = "plain"


@dataclass(frozen=True)
class Column:
    """Head of a column; numbers stand right, words left."""

    label: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """One entry: `strong` is the best of its column, `weak` is context, `note` follows in small print."""

    text: str
    strong: bool = False
    weak: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; rows from `foot` on (baselines) are set apart by a line."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    foot: int | None = None
    marked: frozenset[int] = frozenset()  # rows that the text points at


@dataclass(frozen=True)
class Picture:
    """A figure file, shown inside the page."""

    path: Path
    alt: str
    caption: str = ""
    wide: bool = True


@dataclass(frozen=True)
class Code:
    """Text in fixed pitch, as it is."""

    text: str


@dataclass(frozen=True)
class Group:
    """Blocks under a heading, or folded away under it."""

    title: str
    blocks: Sequence["Block"]
    folded: bool = False
    note: str = ""


Block = Text | Table | Picture | Code | Group


@dataclass(frozen=True)
class Section:
    """One part of the page. A section without blocks is left out."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
