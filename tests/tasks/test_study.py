"""What the earlier stages wrote is read, or complained about in one line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from m2m_core.crops import index
from m2m_core.errors import DataError, RunError
from m2m_core.models import Geometry
from m2m_core.tasks.study import read_record, read_study
from tests.tasks.studies import fields


def written(folder, catalogue, indexed=None):
    catalogue.write(folder / "catalogue.csv")
    (folder / "statistics.json").write_text(json.dumps({"input": {"mean": [0.5]}}))
    np.savez(folder / "crops.npz", **index(indexed or catalogue, 8, None, Geometry(0, 1, "zero")))
    names = {"catalogue": "catalogue.csv", "statistics": "statistics.json", "crops": "crops.npz"}
    return SimpleNamespace(**{key: folder / name for key, name in names.items()})


def test_a_study_is_read(tmp_path):
    catalogue = fields(tmp_path, count=3)
    study = read_study({"task": "x"}, written(tmp_path, catalogue), 2)
    assert study.catalogue == catalogue and study.fold == 2 and study.statistics == {"input": {"mean": [0.5]}}
    assert study.crops.size == (8, 8, 8) and study.experiment == {"task": "x"}


def test_crops_of_another_catalogue_are_refused(tmp_path):
    files = written(tmp_path, fields(tmp_path / "a", count=3), fields(tmp_path / "b", count=4))
    with pytest.raises(DataError, match="crops.npz: made for other samples"):
        read_study({}, files, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_damaged_records_are_named(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(RunError, match=r"record.json: not readable \(.*\); delete it to make it anew"):
        read_record(tmp_path / "record.json")
    with pytest.raises(RunError, match="none.json: not readable"):
        read_record(tmp_path / "none.json")
