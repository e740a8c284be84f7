"""The record of a training: one CSV row an interval, appended while it runs, cut back to the checkpoint on resume."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..files import write_text

__all__ = ["History"]


class History:
    """Rows of numbers by column; a missing value is empty. Appending costs the same however long the file is."""

    def __init__(self, path: Path, step: int) -> None:
        """Continue the file at `path` after update number `step`: later rows and a torn last line are dropped."""
        self.path = path
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        head, *rows = text.splitlines(keepends=True) or [""]
        self.columns = next(csv.reader([head]), []) if head.endswith("\n") else []
        kept = "".join([head, *(row for row in rows if self._is_upto(row, step))]) if self.columns else ""
        if kept != text:
            write_text(path, kept)

    def _is_upto(self, row: str, step: int) -> bool:
        cells = row.rstrip("\n").split(",")
        whole = row.endswith("\n") and len(cells) == len(self.columns)
        return whole and cells[0].isdigit() and int(cells[0]) <= step

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row; the first one names the columns. Raises RunError when the file cannot be written."""
        lines = [] if self.columns else [",".join(row)]
        self.columns = self.columns or list(row)
        lines.append(",".join(_cell(row.get(column)) for column in self.columns))
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
