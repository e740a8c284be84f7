"""Start the other processes of a training, hear what becomes of them, and let none of them outlive the first.

Each gets its order as one line of JSON on its standard input, which stays open as long as the first process lives, and
answers on its standard output. On this node they are children; on the others Slurm starts them, in a step of the job.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from torch import distributed

from ..errors import ConfigError, DataError, Diverged, M2MError, RunError, Stopped
from .distributed import Alone, Lost, Member, join
from .signals import SIGNALS

__all__ = ["PROGRAM", "members"]

PROGRAM = "m2m_core.training.rank"  # what the other processes run
HOME = Path(__file__).resolve().parents[2]
FAREWELL = 20.0  # seconds for the others to end, and for the end of one that is lost to be seen
LAST_WORDS = 1.0  # seconds from the end of a process until all that it said is read
STUCK = 60.0  # seconds after the loss of a process until the first one, if it still waits for it on a GPU, is ended
KNOWN = {kind.__name__: kind for kind in (ConfigError, DataError, Diverged, Lost, RunError, Stopped)}
KEPT = ("SLURM_CONF", "SLURM_JOB_ID", "SLURM_CLUSTER_NAME")  # the others would be options of a new step


@contextlib.contextmanager
def members(
    training: Mapping[str, Any], order: Mapping[str, Any], say: Callable[[str], None], program: str = PROGRAM
) -> Iterator[Member]:
    """All processes that `training` asks for while the block runs; each is told the same `order` (JSON).

    Raises the error of a process that fails, in its own words, or RunError with the signal that killed it; then, and
    when the block ends for any other reason, all end.
    """
    gpus, nodes = training["gpus"], training["nodes"]
    if gpus * nodes == 1:
        yield Alone()
        return
    host = "127.0.0.1" if nodes == 1 else socket.gethostname()
    store = distributed.TCPStore(host, 0, gpus * nodes, True, timedelta(minutes=10), wait_for_workers=False)
    others = Others(say)
    try:
        known = {"order": order, "size": gpus * nodes, "host": host, "port": store.port, "device": training["device"]}
        others.start(gpus, nodes, max(1, training["threads"] // gpus), known, program)
        with join(store, 0, gpus * nodes, 0, training["device"]) as group:
            yield group
    except Lost as lost:
        raise others.reason() or lost from lost
    finally:
        others.end()


class Others:
    """The processes that the first one started: on this node one each, on all others one for all."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.processes = say, []
        self.over = threading.Event()

    def start(self, gpus: int, nodes: int, threads: int, known: Mapping[str, Any], program: str) -> None:
        """Start all, and return when each has read its data and can begin."""
        command = [sys.executable, "-P", "-m", program]
        for rank in range(1, gpus):
            self._start(command, {**known, "rank": rank, "local": rank, "threads": threads}, 1, environment())
        if nodes > 1:
            step = _step(gpus, nodes - 1, threads)
            told = {**known, "rank": gpus, "local": None, "threads": threads}
            self._start([*step, *command], told, gpus * (nodes - 1), _job_only(environment()), start_new_session=True)
        for process in self.processes:
            process.await_ready()
        if not all(process.is_ready for process in self.processes):
            raise Lost("a process of this training ended before it began")
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self, command: list[str], told: Mapping[str, Any], count: int, env: dict, **options: Any) -> None:
        """Start `count` processes by one command; its messages go where ours go."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": _log()}
        process = subprocess.Popen(command, env=env, text=True, **pipes, **options)
        self.processes.append(Other(process, count, told["rank"]))
        with contextlib.suppress(BrokenPipeError):  # it ended; why is found out below
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()

    def reason(self) -> M2MError | None:
        """Why a process was lost: the first that tells, None if all are well as far as can be seen."""
        end = time.monotonic() + FAREWELL
        while True:
            found = [reason for process in self.processes if (reason := process.reason())]
            told = [reason for reason in found if not isinstance(reason, Lost)]
            if told or time.monotonic() > end:
                return (told or found or [None])[0]
            time.sleep(0.05)

    def _watch(self) -> None:
        """End this process if it still waits for a lost one: a collective operation on a GPU does not notice."""
        while not self.over.wait(0.5):
            if any(process.code() not in (None, 0) for process in self.processes):
                if not self.over.wait(STUCK):
                    reason = self.reason() or RunError("a process of this training is lost")
                    self.say(f"error: {reason}")
                    os._exit(reason.exit_code)
                return

    def end(self) -> None:
        """Let all end by themselves, as they do when their input is closed, and kill those that do not."""
        self.over.set()
        for process in self.processes:
            process.close()
        end = time.monotonic() + FAREWELL
        for process in self.processes:
            process.end(max(0.0, end - time.monotonic()))


class Other:
    """One command that was started, for one rank or for all of the other nodes."""

    def __init__(self, process: subprocess.Popen, count: int, rank: int) -> None:
        self.process, self.count, self.rank = process, count, rank
        self.records: list[dict[str, Any]] = []
        self.silent = False
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with contextlib.suppress(ValueError), self.changed:
                self.records.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.silent = True
            self.changed.notify_all()

    @property
    def is_ready(self) -> bool:
        """Whether all its ranks said so."""
        return sum("ready" in record for record in self.records) == self.count

    def await_ready(self) -> None:
        """Return when all its ranks are ready, or one never will be."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_ready or self.failed or self.silent)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """What its ranks said of their errors."""
        return [record for record in self.records if "kind" in record]

    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def reason(self) -> M2MError | None:
        """Its error, if there is any yet."""
        code = self.code()
        if code is not None:
            self.reader.join(LAST_WORDS)
        told = sorted(self.failed, key=lambda record: record["kind"] == Lost.__name__)
        if told:
            return KNOWN.get(told[0]["kind"], M2MError)(told[0]["text"])
        return self._ended_by(code) if code else None

    def _ended_by(self, code: int) -> M2MError:
        who = f"process {self.rank} of this training" if self.count == 1 else "the processes on other nodes"
        if code in [-number for number in SIGNALS]:
            return Stopped(f"{who} was asked to stop (signal {-code}) before it could; run again to continue")
        if code < 0:
            why = ", likely for memory" if code == -signal.SIGKILL else ""
            return RunError(f"{who} was killed by signal {-code}{why}; run again to continue")
        return RunError(f"{who} ended with exit code {code}; the log says more")

    def close(self) -> None:
        """Close its input, by which it knows that this process is gone."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self, patience: float) -> None:
        """Wait for its end, and kill it in the end."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()


def environment() -> dict[str, str]:
    """Ours, with this library before whatever else is installed."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), *([before] if before else [])])}


def _job_only(env: Mapping[str, str]) -> dict[str, str]:
    """Without what describes the step that we are in, which Slurm would take for what the next one is to be."""
    foreign = ("SLURM_", "SRUN_", "SBATCH_")
    return {key: value for key, value in env.items() if key in KEPT or not key.startswith(foreign)}


def _step(tasks: int, nodes: int, threads: int) -> list[str]:
    """Slurm's command for `tasks` processes on each of the other `nodes` of this job."""
    return [
        "srun", f"--jobid={os.environ.get('SLURM_JOB_ID')}", "--overlap", f"--nodes={nodes}",
        f"--exclude={os.environ.get('SLURMD_NODENAME', socket.gethostname())}", f"--ntasks={tasks * nodes}",
        f"--ntasks-per-node={tasks}", f"--cpus-per-task={threads}", "--cpu-bind=none", "--kill-on-bad-exit=1",
    ]  # fmt: skip


def _log() -> IO[str] | int | None:
    """Where our own messages go, if that is a file that a process can write to."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError):
        return None
