"""One owner a folder, on this machine by the kernel's lock, elsewhere by signs of life."""

import errno
import fcntl
import signal
import subprocess
import sys
import threading

import pytest

from m2m_core import lock
from m2m_core.errors import RunError

OWNER = """
import sys, time
from m2m_core import lock
with lock.exclusive(sys.argv[1]):
    print("owned", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path, owner):
    for _ in range(2):  # being refused does not forget the first
        with pytest.raises(RunError, match=rf"in use by process {owner.pid} on .+; wait"):
            with lock.exclusive(tmp_path):
                pass
    (tmp_path / ".state.1.tmp").write_text("of the first")
    with pytest.raises(RunError), lock.exclusive(tmp_path):
        pass
    assert (tmp_path / ".state.1.tmp").exists()
    owner.communicate("")
    with lock.exclusive(tmp_path):
        assert not (tmp_path / ".state.1.tmp").exists()


def test_a_killed_owner_does_not_block_the_next(tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with lock.exclusive(tmp_path):
        pass


def test_a_folder_that_cannot_be_owned_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be owned"), lock.exclusive(tmp_path / "file"):
        pass

    def unsupported(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(RunError, match="cannot be owned: no locks available"), lock.exclusive(tmp_path / "x"):
        pass


def test_an_error_inside_is_not_the_lock_s(tmp_path):
    with pytest.raises(FileNotFoundError), lock.exclusive(tmp_path):
        open(tmp_path / "none").read()


def elsewhere(folder, beat=0):
    (folder / ".lock").write_text(f"process 7 on another.host, beat {beat:09d}")


def test_an_owner_on_another_machine_that_lives_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STILL", 2.0)
    elsewhere(tmp_path)
    later = threading.Timer(0.3, elsewhere, [tmp_path, 1])
    later.start()
    with pytest.raises(RunError, match="in use by process 7 on another.host; wait for it or stop it"):
        with lock.exclusive(tmp_path):
            pass
    later.join()
    assert lock.last_owner(tmp_path) == "process 7 on another.host"


def test_an_owner_on_another_machine_that_is_still_is_taken_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STILL", 0.1)
    elsewhere(tmp_path)
    said = []
    with lock.exclusive(tmp_path, said.append):
        assert "another.host" not in lock.last_owner(tmp_path)
    assert lock.last_owner(tmp_path) == ""
    assert "was left by process 7 on another.host" in said[0] and said[1].startswith("warning: ")


def test_the_same_job_of_slurm_on_another_machine_does_not_wait_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STILL", 3600.0)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    (tmp_path / ".lock").write_text("process 7 on another.host, job 41, beat 000000003")
    with lock.exclusive(tmp_path):
        assert ", job 41, beat " in (tmp_path / ".lock").read_text()


def test_an_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    with lock.exclusive(tmp_path):
        seen = set()
        for _ in range(200):
            seen.add((tmp_path / ".lock").read_text())
            if len(seen) > 2:
                break
            threading.Event().wait(0.01)
        assert len(seen) > 2 and all(text.startswith("process ") for text in seen)
        assert lock.owner(tmp_path) == lock.last_owner(tmp_path) != ""
    assert lock.owner(tmp_path) is None
