"""Division of large datasets: every sample once, stable, kept; and the merged catalogue is the same as of one job."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_core.data import shards, stage
from m2m_core.data.shards import FEW, MANY, PIECE, inspect_part, inspect_simulated, member, parts, pieces, ranges
from m2m_core.errors import DataError
from m2m_core.simulations import simulate_missing
from tests.data.making import pairs

SETTINGS = {"source": {"kind": "nbody", "mesh": 4, "box_size": 16.0, "steps": 1}, "code": "a"}
FOLDS = {"given": None, "by": "sample", "count": 2, "seed": 0}


def numbers(names):
    return [n for name in names for n in range(*map(int, name.split("-")))]


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 700)), min_size=1, max_size=6))
def test_ranges_hold_each_sample_once_and_what_is_made_is_kept(history):
    made = set()
    for samples, size in history:
        names = ranges(samples, size, made)
        assert numbers(names) == list(range(FEW, samples))
        assert ranges(samples, 3, made | set(names)) == names  # another size divides nothing anew
        made |= set(names)


def test_samples_that_are_added_come_in_new_ranges():
    before = ranges(900, 300, set())
    assert before == ["200-500", "500-800", "800-900"]
    assert ranges(1000, 300, before) == [*before, "900-1000"]


def test_few_samples_are_not_divided_and_many_give_some_hundreds_of_jobs():
    assert not ranges(FEW, None, ()) and not parts([str(n) for n in range(MANY)], None, ())
    assert len(ranges(10**5, None, ())) == 200
    assert len(parts([str(n) for n in range(10**5)], None, ())) == 256


def test_parts_hold_each_sample_once_and_an_added_one_changes_one():
    ids = [f"s{n}" for n in range(2000)]
    division = parts(ids, 100, ())
    assert sorted(name for names in division.values() for name in names) == sorted(ids)
    assert all(all(map(member(part), names)) for part, names in division.items())
    more = parts([*ids, "new"], 100, ())
    assert [part for part in more if more[part] != division.get(part)] == [p for p in more if member(p)("new")]
    one = next(iter(division))
    assert parts(ids, 7, division.keys() - {one}) == division  # kept, also when a job failed


def test_large_files_of_many_samples_are_divided_by_their_bytes():
    assert not pieces(2 * PIECE - 1, ())
    made = pieces(268 * 10**9, ())
    assert made == [f"{k}of16" for k in range(16)]
    assert pieces(700 * 10**9, made[:9]) == made and len(pieces(700 * 10**9, made[:7])) == 64


def test_a_merged_catalogue_of_found_files_is_that_of_one_job(tmp_path, monkeypatch):
    source = {"kind": "npy", **pairs(tmp_path, 12)}
    settings = {"source": source, "folds": FOLDS, "on_nonfinite": "refuse"}
    monkeypatch.setattr(shards, "MANY", 3)
    tables = []
    for part in parts([str(n) for n in range(12)], 3, ()):
        tables.append(str(tmp_path / f"{part}.csv"))
        inspect_part(source, part).write(tables[-1])
    assert len(tables) > 2
    assert stage.make_catalogue(settings, tables) == stage.make_catalogue(settings, [])


def test_what_only_all_samples_show_is_found_when_they_are_merged(tmp_path):
    source = {"kind": "npy", **pairs(tmp_path, 8)}
    settings = {"source": source, "folds": FOLDS, "on_nonfinite": "refuse"}

    def merged():
        tables = [str(tmp_path / f"{n}of2.csv") for n in range(2)]
        for n, table in enumerate(tables):
            inspect_part(source, f"{n}of2").write(table)
        return stage.make_catalogue(settings, tables)

    folds = {sample.id: sample.fold for sample in merged()}
    other = next(name for name in folds if folds[name] != folds["0"])
    target, kept = tmp_path / f"target/{other}.npy", np.load(tmp_path / f"target/{other}.npy")
    target.write_bytes((tmp_path / "target/0.npy").read_bytes())
    with pytest.raises(DataError, match="duplicate content in different folds"):
        merged()
    kept[1, 2, 3, 4] = np.nan
    np.save(target, kept)
    with pytest.raises(DataError, match=rf"target/{other}.npy: 1 values .* channel 1 at \(2, 3, 4\)"):
        merged()
    settings["on_nonfinite"] = "mask"
    assert sum(part.nonfinite for sample in merged() for part in sample.parts("target")) == 1
    settings["on_nonfinite"] = "refuse"
    np.save(target, kept[:2])
    with pytest.raises(DataError, match="channels"):
        merged()


def test_a_shard_goes_on_with_the_samples_that_are_missing_and_trusts_no_others(tmp_path):
    files = simulate_missing(SETTINGS, "3-7", tmp_path)
    whole = [file.read_bytes() for file in files]
    assert [file.name for file in files] == ["0003.h5", "0004.h5", "0005.h5", "0006.h5"]
    stamps = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    files[2].write_bytes(whole[2][:-100])
    files[3].unlink()
    simulate_missing({**SETTINGS, "code": "b"}, "6-7", tmp_path)
    assert files[3].read_bytes() != whole[3]
    assert simulate_missing(SETTINGS, "3-7", tmp_path) == files
    assert [file.read_bytes() for file in files] == whole
    assert files[0].stat().st_mtime_ns == stamps[0]


def test_a_merged_catalogue_of_simulated_files_is_that_of_one_job(tmp_path):
    files = simulate_missing(SETTINGS, "0-6", tmp_path)
    settings = {"source": SETTINGS["source"], "folds": FOLDS, "on_nonfinite": "refuse"}
    inspect_simulated(files[3:]).write(tmp_path / "3-6.csv")
    mixed = [*map(str, files[:3]), str(tmp_path / "3-6.csv")]
    assert stage.make_catalogue(settings, mixed) == stage.make_catalogue(settings, list(map(str, files)))
