"""The record of a training: one CSV row an interval, appended while it runs and cut back to the checkpoint on resume."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import write_text

__all__ = ["History"]


class History:
    """Rows of numbers by column; a missing value is empty. Appending costs the same however long the file is."""

    def __init__(self, path: Path, step: int) -> None:
        """Continue the file at `path` after update number `step`: later rows and a torn last line are dropped."""
        self.path = path
        rows = path.read_text().splitlines(keepends=True) if path.exists() else []
        self.columns = next(csv.reader(rows[:1]), [])
        kept = [row for row in rows[1:] if row.endswith("\n") and self._is_upto(row, step)]
        if rows:
            write_text(path, rows[0] + "".join(kept))

    def _is_upto(self, row: str, step: int) -> bool:
        cells = next(csv.reader([row]), [])
        return len(cells) == len(self.columns) and cells[0].isdigit() and int(cells[0]) <= step

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row; the first one names the columns."""
        with open(self.path, "a", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            if not self.columns:
                self.columns = list(row)
                writer.writerow(self.columns)
            writer.writerow([_cell(row.get(column)) for column in self.columns])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
