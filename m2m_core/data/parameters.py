"""Numbers that belong to samples as wholes (cosmology, redshift, ...): from a CSV table, by sample id."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from ..errors import DataError
from .readers import named, printable

__all__ = ["KNOWN", "TOLD", "Numbers", "names_in", "read", "refuse_missing"]

Numbers = dict[str, float]  # parameter -> value
KNOWN = ("redshift", "omega_m")  # of every sample, whether a table says them or not
LEAST = {"redshift": -1, "omega_m": 0}  # what theirs are above
TOLD = (*KNOWN, "growth")  # styles of every sample; growth is that of linear structure, 1 today
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SHOWN = 5


def read(path: str | Path) -> dict[str, Numbers]:
    """Sample id -> its numbers, from a table with a column `id` and a column of numbers for each parameter.

    Raises DataError that names the line.
    """
    with named(path):
        text = Path(path).read_text(encoding="utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return _read([cell.strip() for cell in next(rows, [])], rows)
    except (ValueError, csv.Error) as error:
        raise DataError(f"{printable(path)}: line {max(rows.line_num, 1)}: {printable(str(error))}") from None


def _read(head: list[str], rows: Iterable[list[str]]) -> dict[str, Numbers]:
    if "id" not in head or len(head) < 2 or len(set(head)) < len(head):
        raise ValueError(f"columns {', '.join(head) or 'none'}; expected id and different names of parameters")
    names = [name for name in head if name != "id"]
    if bad := [name for name in names if not NAME.fullmatch(name)]:
        raise ValueError(f"column {bad[0]!r}; expected a name like {NAME.pattern}")
    found: dict[str, Numbers] = {}
    for row in filter(None, rows):
        if len(row) != len(head):
            raise ValueError(f"{len(row)} values; expected {len(head)}, as many as there are columns")
        cells = dict(zip(head, map(str.strip, row), strict=True))
        if (id := cells.pop("id")) in found:
            raise ValueError(f"sample id {id!r} stands twice; expected one line a sample")
        found[id] = {name: _number(name, text) for name, text in cells.items()}
    return found


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}; expected a finite number")
    if value <= (least := LEAST.get(name, -math.inf)):
        raise ValueError(f"{name} is {text}; expected a number above {least}")
    return value


def refuse_missing(path: str, ids: Iterable[str], table: Collection[str]) -> None:
    """Raise DataError unless every sample has its line."""
    if missing := [id for id in ids if id not in table]:
        more = f", ... ({len(missing)} in all)" if len(missing) > SHOWN else ""
        expected = "expected a line for every sample"
        raise DataError(f"{printable(path)}: lacks {', '.join(missing[:SHOWN])}{more}; {expected}")


def names_in(path: str | Path) -> list[str]:
    """The parameters of a table, from its first line alone; [] of one that cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), []) if name.strip() != "id"]
    except (OSError, ValueError, csv.Error):
        return []
