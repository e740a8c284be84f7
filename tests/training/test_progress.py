"""What a person sees: a bar on a terminal, and elsewhere a line now and then."""

import fcntl
import io
import os
import re
import struct
import termios
from types import SimpleNamespace

import pytest

from m2m_core.training import progress
from m2m_core.training.progress import Progress

ROW = {"step": 4, "epoch": 1, "loss": 0.51234567, "validation": None, "lr": 0.1, "samples_per_second": 32.123,
       "seconds": 9.0, "attempt": 1}  # fmt: skip


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def job(console):
    said = []
    return SimpleNamespace(console=console, name="training vnet 0", say=said.append), said


def test_lines_come_soon_and_then_rarely(monkeypatch):
    clock = Clock(monkeypatch)
    watched, said = job(io.StringIO())
    with Progress(watched) as shown:
        for step in range(1, 401):  # eight steps a second
            shown(step, 400, ROW if step == 4 else {})
            clock.now += 0.125
    assert said[0] == "step 17/400 (4%), loss 0.5123, 32.1 samples/s, 8 steps/s, 00:47 left"
    assert len(said) == 4 and said[1].startswith("step 137/400 (34%)") and watched.console.getvalue() == ""


def test_a_line_before_the_first_row(monkeypatch):
    clock = Clock(monkeypatch)
    watched, said = job(io.StringIO())
    shown = Progress(watched)
    shown(1000, 10**6, {})
    clock.now += 10
    shown(1001, 10**6, {})
    assert said == ["step 1001/1000000 (0%), 0.1 steps/s, 2774:59:50 left"]


def test_the_last_validation_score_stays(monkeypatch):
    clock = Clock(monkeypatch)
    watched, said = job(io.StringIO())
    shown = Progress(watched)
    shown(1, 9, ROW | {"validation": 0.7})
    clock.now += 3
    shown(2, 9, ROW)
    assert "loss 0.5123, validation 0.7, 32.1 samples/s" in said[0]


@pytest.fixture
def terminal():
    leader, follower = os.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    console = os.fdopen(follower, "w", buffering=1)
    yield leader, console
    console.close()
    os.close(leader)


def read(leader):
    os.set_blocking(leader, False)
    text = b""
    while True:
        try:
            text += os.read(leader, 65536)
        except BlockingIOError:
            return text.decode()


def test_a_bar_on_a_terminal(terminal):
    leader, console = terminal
    watched, said = job(console)
    with Progress(watched) as shown:
        for step in range(1, 41):
            shown(step, 40, ROW if step % 4 == 0 else {})
        shown.bar.refresh()
    text = read(leader)
    assert not said and "\n" not in text
    assert re.search(r"training vnet 0 100%\|.*\| 40/40 steps \[.*loss 0.5123, 32.1 samples/s\]", text)
    assert text.endswith("\r") and not text.rstrip("\r").rpartition("\r")[2].strip()  # the line is left empty


def test_a_bar_goes_on_where_the_run_does(terminal):
    leader, console = terminal
    with Progress(job(console)[0]) as shown:
        shown(21, 40, {})
        shown.bar.refresh()
    assert re.search(r"52%\|.*\| 21/40", read(leader))


def test_of_two_trainings_on_a_terminal_one_draws(terminal):
    leader, console = terminal
    first, second = Progress(job(console)[0]), Progress(job(console)[0])
    assert first.terminal is not None and second.terminal is None
    first.__exit__()
    with Progress(job(console)[0]) as third:
        assert third.terminal is not None


def test_a_terminal_without_a_width_gets_lines(terminal):
    leader, console = terminal
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert Progress(job(console)[0]).terminal is None
