"""What the report reads of a search: its trials, and what they were drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError

__all__ = ["Trials"]

FACTS = ["number", "score", "steps", "seconds", "state", "reason"]


@dataclass(frozen=True)
class Trials:
    """The table of a search, one row a trial; `draw` maps each searched key to a list or to the bounds of a range."""

    path: Path
    draw: Mapping[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Columns number, one a key (text), score, steps, seconds, state, reason; raises DataError if it is none."""
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        except (ValueError, OSError) as error:
            raise DataError(f"{self.path}: not a table of trials: {str(error).splitlines()[0]}") from error
        if lacking := [name for name in [*FACTS, *self.draw] if name not in table.columns]:
            raise DataError(f"{self.path}: column {lacking[0]!r} is missing; expected {', '.join(FACTS)} and the keys")
        numbers = {
            name: pd.to_numeric(table[name], errors="coerce") for name in ("number", "score", "steps", "seconds")
        }
        return table.assign(**numbers)

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The trials that were not stopped, the best first."""
        return self.table[self.table["state"] == "complete"].sort_values(["score", "number"])

    @property
    def best(self) -> pd.Series:
        return self.complete.iloc[0]

    def count(self, state: str) -> int:
        return int((self.table["state"] == state).sum())

    def is_numeric(self, key: str) -> bool:
        """Whether the values of a key are numbers: a range, or a list of nothing else."""
        source = self.draw[key]
        listed = source if isinstance(source, list) else []
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in listed)

    def numbers(self, key: str) -> np.ndarray:
        """The values of a numeric key."""
        return self.table[key].astype(float).to_numpy()
