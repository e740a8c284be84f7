"""Numbers that belong to samples as wholes (cosmology, redshift, ...): from a CSV table, by sample id."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..physics.cosmology import growth
from .readers import named, printable

__all__ = ["KNOWN", "TOLD", "Numbers", "Styles", "names_in", "read", "refuse_missing"]

Numbers = dict[str, float]  # parameter -> value
KNOWN = ("redshift", "omega_m")  # of every sample, whether a table says them or not
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
    if name == "omega_m" and value <= 0:
        raise ValueError(f"{name} is {text}; expected a number above 0")
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


class Styles:
    """The numbers of a sample that a network is told beside its field: (value - shift) / spread of each.

    chosen: name -> {"shift": number or None, "spread": number or None}, or names alone; what is not given is the mean
        and the standard deviation over the `training` samples, 1 if they agree
    Raises DataError on a name that the samples do not have.
    """

    def __init__(self, chosen: Mapping[str, Mapping] | Sequence[str], training: Sequence[Any]) -> None:
        self.names = list(chosen)
        given = chosen if isinstance(chosen, Mapping) else {name: {} for name in chosen}
        values = np.array([self._raw(sample) for sample in training]).reshape(len(training), len(self.names))
        self.shift = np.array([_or(given[n].get("shift"), v.mean()) for n, v in zip(self.names, values.T, strict=True)])
        spread = [_or(given[n].get("spread"), v.std()) for n, v in zip(self.names, values.T, strict=True)]
        self.spread = np.array([value if value > 0 else 1.0 for value in spread])

    def __len__(self) -> int:
        return len(self.names)

    def of(self, sample: Any) -> np.ndarray:
        """(styles,) float32."""
        return ((self._raw(sample) - self.shift) / self.spread).astype("f4")

    def _raw(self, sample: Any) -> np.ndarray:
        known = {"redshift": sample.redshift, "omega_m": sample.omega_m, **sample.parameters}
        if "growth" in self.names:
            known.setdefault("growth", growth(sample.redshift, sample.omega_m))
        if missing := [name for name in self.names if name not in known]:
            expected = f"expected one of {', '.join([*TOLD, *sample.parameters])}"
            raise DataError(f"styles: sample {sample.id!r} has no number {missing[0]!r}; {expected}")
        return np.array([known[name] for name in self.names], float)


def _or(given: float | None, otherwise: float) -> float:
    return float(otherwise if given is None else given)
