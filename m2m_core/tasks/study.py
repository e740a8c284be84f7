"""Put together what the earlier stages wrote for one fold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..crops import read_index
from ..data.catalogue import Catalogue
from ..errors import RunError
from .protocol import Study

__all__ = ["read_record", "read_study"]


def read_study(experiment: Mapping[str, Any], files: Any, fold: int) -> Study:
    """The study of `fold`; `files` has the paths `catalogue`, `statistics` and `crops`."""
    catalogue = Catalogue.read(files.catalogue)
    crops = read_index(files.crops, catalogue)
    return Study(experiment, catalogue, read_record(files.statistics), crops, fold)


def read_record(path: str | Path) -> dict[str, Any]:
    """A JSON file that an earlier stage wrote; raises RunError when it is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: not readable ({' '.join(str(error).split())[:80]}); delete it to make it anew"
        ) from None
