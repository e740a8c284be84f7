"""The table of results, one value a row: evaluation.csv."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .. import files
from ..errors import DataError
from . import refuse_nonfinite

__all__ = ["Row", "read", "write"]


class Row(NamedTuple):
    """One line of evaluation.csv; `source` made the prediction, `x` is k [h/Mpc], a value, or None for a scalar."""

    sample: str
    source: str
    field: str
    metric: str
    x: float | None
    value: float


def write(path: str | Path, rows: Iterable[tuple]) -> None:
    """Write (sample, source, field, metric, x, value) rows as evaluation.csv, whole or not at all, numbers exact."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row._fields)
    for number, row in enumerate(map(Row._make, rows), 2):
        refuse_nonfinite(f"{path}: line {number}", row.x, row.value)
        table.writerow([*row[:4], "" if row.x is None else repr(float(row.x)), repr(float(row.value))])
    files.write_text(path, text.getvalue())


def read(path: str | Path) -> list[Row]:
    """The rows of evaluation.csv; raises DataError naming the line that is not as `write` makes them."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(stream, strict=True))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a table of metrics") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table of metrics: {error}") from None
    if not lines or lines[0] != list(Row._fields):
        raise DataError(f"{path}: line 1: other columns; expected {','.join(Row._fields)}")
    return [_row(f"{path}: line {number}", line) for number, line in enumerate(lines[1:], 2)]


def _row(where: str, line: list[str]) -> Row:
    if len(line) != len(Row._fields):
        raise DataError(f"{where}: {len(line)} columns; expected {len(Row._fields)}")
    try:
        x, value = None if line[4] == "" else float(line[4]), float(line[5])
    except ValueError:
        raise DataError(f"{where}: x {line[4]!r}, value {line[5]!r}; expected numbers") from None
    refuse_nonfinite(where, x, value)
    return Row(*line[:4], x, value)
