"""The history: appended while a training runs, and cut back to where its checkpoint stands."""

import pytest

from m2m_core.errors import RunError
from m2m_core.training.history import History

HEAD = "step,loss,validation\n"
ROWS = ["10,0.5,\n", "20,0.25,1.5\n", "30,0.125,\n"]


def written(folder, text):
    path = folder / "history.csv"
    path.write_text(text)
    return path


def test_the_first_row_names_the_columns(tmp_path):
    history = History(tmp_path / "history.csv", 0)
    history.append({"step": 10, "loss": 0.5, "validation": None})
    history.append({"step": 20, "loss": 0.25, "validation": 1.5, "more": 3})
    assert history.path.read_text() == HEAD + ROWS[0] + ROWS[1]


def test_numbers_have_eight_digits(tmp_path):
    history = History(tmp_path / "history.csv", 0)
    history.append({"step": 123456789, "loss": 1 / 3})
    assert history.path.read_text().splitlines()[1] == "123456789,0.33333333"


@pytest.mark.parametrize("step, kept", [(0, 0), (10, 1), (19, 1), (20, 2), (99, 3)])
def test_rows_after_the_checkpoint_are_dropped(tmp_path, step, kept):
    path = written(tmp_path, HEAD + "".join(ROWS))
    History(path, step).append({"step": step + 1, "loss": 9.0})
    assert path.read_text() == HEAD + "".join(ROWS[:kept]) + f"{step + 1},9,\n"


@pytest.mark.parametrize("torn", ["3", "30,0.1", "30,0.125,", "30,,,,\n", "x,1,2\n", "\x00\x00\n", "é,"])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = written(tmp_path, HEAD + ROWS[0] + torn)
    History(path, 99)
    assert path.read_text() == HEAD + ROWS[0]


@pytest.mark.parametrize("torn", ["", "st", "step,loss,validation"])
def test_a_torn_head_begins_anew(tmp_path, torn):
    path = written(tmp_path, torn)
    History(path, 99).append({"step": 1, "loss": 1.0})
    assert path.read_text() == "step,loss\n1,1\n"


def test_bytes_that_are_no_text(tmp_path):
    path = written(tmp_path, HEAD + ROWS[0])
    path.write_bytes(path.read_bytes() + b"20,\xff\xfe")
    History(path, 99)
    assert path.read_text() == HEAD + ROWS[0]


def test_a_whole_file_is_left_alone(tmp_path):
    path = written(tmp_path, HEAD + "".join(ROWS))
    before = path.stat().st_mtime_ns, path.stat().st_ino
    History(path, 30)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_disk_that_is_full():
    with pytest.raises(RunError, match="/dev/full: cannot be written: No space left"):
        History.append(_of("/dev/full"), {"step": 1})


def _of(path):
    history = History.__new__(History)
    history.path, history.columns = path, []
    return history
