"""Files are whole or absent: killed at every file operation, on a full disk, in folders that cannot be written."""

import builtins
import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from m2m_core import files, lock
from m2m_core.errors import RunError
from m2m_core.files import forget_incomplete, write_contents

OLD, NEW = b"old" * 1000, b"new" * 2000


def crash_at(number, work):
    """Run `work` in a child that dies, as by kill -9, just before its file operation `number`; its exit code."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(function):
            def called(*arguments, **options):
                nonlocal count
                count += 1
                if count == number:
                    os._exit(137)
                return function(*arguments, **options)

            return called

        builtins.open, os.open, fcntl.flock = dying(open), dying(os.open), dying(fcntl.flock)
        for name in ("fsync", "replace", "unlink", "scandir", "close"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def every_crash(work, check, most=40):
    """`check` after a kill at every operation in turn, until one run ends well; how many kills there were."""
    for number in range(1, most):
        code = crash_at(number, work)
        check(code)
        if code == 0:
            return number - 1
        assert code == 137
    raise AssertionError("never ended")


def slow(stream):
    for start in range(0, len(NEW), 1500):
        stream.write(NEW[start : start + 1500])
        stream.flush()


def leftovers(folder):
    return [path for path in folder.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("before", [None, OLD])
def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path, before):
    path = tmp_path / "a.bin"
    if before is not None:
        path.write_bytes(before)

    def check(code):
        now = path.read_bytes() if path.exists() else None
        assert now == NEW if code == 0 else now in (before, NEW)
        if code and before is not None:
            path.write_bytes(before)
        elif code:
            path.unlink(missing_ok=True)

    assert every_crash(lambda: files.write_whole(path, slow), check) >= 5
    assert leftovers(tmp_path) == []  # the last writer removed what the killed ones left


@pytest.mark.parametrize(
    "write, value, whole",
    [
        (files.write_json, {"b": 1, "a": [2.5]}, b'{\n "a": [\n  2.5\n ],\n "b": 1\n}\n'),
        (files.write_text, "é", "é".encode()),
    ],
)
def test_every_other_writer_is_as_safe(tmp_path, write, value, whole):
    path = tmp_path / "a"

    def check(code):
        assert not path.exists() or path.read_bytes() == whole

    every_crash(lambda: write(path, value), check)
    assert path.read_bytes() == whole and leftovers(tmp_path) == []


def test_a_killed_owner_is_forgotten_and_cleaned_up_after(tmp_path):
    folder = tmp_path / "training"

    def work():
        with lock.exclusive(folder), files.replaced(folder / "state.pt") as temporary:
            temporary.write_bytes(NEW)

    def check(code):
        assert not (folder / "state.pt").exists() or (folder / "state.pt").read_bytes() == NEW

    assert every_crash(work, check) >= 8
    crash_at(9, work)
    with lock.exclusive(folder):
        assert leftovers(folder) == []


def test_what_a_living_writer_writes_is_left_alone(tmp_path):
    mine, dead = tmp_path / f".a.{os.getppid()}.tmp", tmp_path / ".a.4194304999.tmp"
    other = tmp_path / ".b.4194304999.tmp"
    for path in (mine, dead, other):
        path.write_bytes(OLD)
    files.write_text(tmp_path / "a", "x")
    assert mine.exists() and other.exists() and not dead.exists()


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(OLD)

    def fail(stream):
        stream.write(b"half")
        raise KeyError("x")

    with pytest.raises(KeyError):
        files.write_whole(path, fail)
    assert path.read_bytes() == OLD and leftovers(tmp_path) == []


FULL = """
import resource, signal, sys
from m2m_core import files, lock
from m2m_core.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    files.write_whole(sys.argv[1], lambda stream: stream.write(b"x" * 100_000))
except RunError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: cannot be written: file size limit reached; any earlier file is kept\n"
    assert path.read_bytes() == OLD and leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_failing_disk_is_one_line_and_keeps_the_old_file(tmp_path, monkeypatch, number, operation):
    path = tmp_path / "a"
    path.write_bytes(OLD)

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, operation, fail)
    with pytest.raises(RunError, match=f"{path}: cannot be written: .+; any earlier file is kept"):
        files.write_text(path, "new")
    assert path.read_bytes() == OLD and leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    sync = os.fsync

    def picky(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "no")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", picky)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), files.replaced(tmp_path / "a"):
        open(tmp_path / "elsewhere").read()


@pytest.mark.parametrize("path", ["file/a", "folder"])
def test_a_path_that_cannot_be_is_one_line(tmp_path, path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(RunError, match="cannot be written"):
        files.write_text(tmp_path / path, "x")
    assert (tmp_path / "folder" / "inside").is_dir() and (tmp_path / "file").read_text() == ""


def test_folders_on_the_way_are_made_and_modes_follow_the_umask(tmp_path):
    earlier = os.umask(0o027)
    try:
        files.write_text(tmp_path / "x" / "y" / "a", "1")
    finally:
        os.umask(earlier)
    assert (tmp_path / "x/y/a").stat().st_mode & 0o777 == 0o640


def test_numbers_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_for_results_is_checked_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    files.check_folder(tmp_path / "x" / "y")
    files.check_folder(tmp_path)
    for name in ("file", "file/x", "dangling", "dangling/x"):
        with pytest.raises(RunError, match="is not a folder"):
            files.check_folder(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    code = "import os, sys; from m2m_core import files, lock, errors; os.setgid(65534); os.setuid(65534)\n"
    code += "try: files.check_folder(sys.argv[1])\nexcept errors.RunError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code, str(folder / "x")], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder / 'x'}: {folder} cannot be written to; expected a folder of yours\n"


@pytest.mark.parametrize("harm", ["deleted", "cut", "list damaged", None])
def test_a_folder_that_lost_a_file_is_noticed_once(tmp_path, harm):
    folder, listed = tmp_path / "files", tmp_path / "files.json"
    for name in ("a/x.npy", "b/x.npy"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"12345")
    write_contents(listed, folder)
    if harm == "list damaged":
        listed.write_text("[1")
    elif harm:
        (folder / "b/x.npy").unlink() if harm == "deleted" else (folder / "b/x.npy").write_bytes(b"123")
    expected = {"list damaged": "files.json", None: ""}.get(harm, "b/x.npy")
    assert forget_incomplete(listed, folder) == expected
    assert listed.exists() == (harm is None) and forget_incomplete(listed, folder) == ""
