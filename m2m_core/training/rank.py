"""One of the other processes of a training: `python -m m2m_core.training.rank`, started by the first (see `launch`)."""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed

from .. import registry
from ..errors import Diverged, M2MError, Stopped
from ..models import devices
from ..tasks.protocol import build
from ..tasks.study import read_study
from .distributed import Group, join
from .loop import fit

__all__ = ["serve"]

PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux

Meet = Callable[[], AbstractContextManager[Group]]


def serve(work: Callable[[dict[str, Any], Meet], None]) -> None:
    """Do `work(order, meet)`, which enters `meet()` when it can begin, and tell the first process how it ended.

    When the first process is gone, so is this one at once, wherever it is.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed goes to the log
    told = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    torch.set_num_threads(told["threads"])
    code = 0
    try:
        work(told["order"], lambda: _meeting(told, answers))
    except (Stopped, Diverged) as error:  # all agree, and the first says so
        print(json.dumps({"kind": type(error).__name__, "text": str(error)}), file=answers)
    except M2MError as error:
        traceback.print_exc()
        print(json.dumps({"kind": type(error).__name__, "text": str(error)}), file=answers)
        code = error.exit_code
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}; the traceback is in the log"
        print(json.dumps({"kind": "M2MError", "text": text}), file=answers)
        code = 1
    sys.stderr.flush()
    os._exit(code)  # not by way of destructors that talk to processes which are gone


@contextlib.contextmanager
def _meeting(told: dict[str, Any], answers: Any) -> Iterator[Group]:
    """Say that this process is ready, and join the others; Slurm numbers the processes on other nodes."""
    rank, local = told["rank"], told["local"]
    if local is None:
        rank, local = rank + int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"])
    print(json.dumps({"ready": rank}), file=answers)
    store = distributed.TCPStore(told["host"], told["port"], told["size"], False, timedelta(minutes=10))
    with join(store, rank, told["size"], local, told["device"]) as group:
        yield group


def _end_with_the_first() -> None:
    """Its end closes our input, and on this computer the kernel tells as well: readers may still hold the other end."""
    with contextlib.suppress(AttributeError, OSError):  # not on Linux
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL)
    while os.read(0, 4096):
        pass
    os._exit(1)


def _train(order: dict[str, Any], meet: Meet) -> None:
    """The part of this process in the training that `stage.train` begins."""
    devices.keep_memory()
    registry.use_plugins(order["plugins"])
    task = build(read_study(order["experiment"], SimpleNamespace(**order["files"]), order["fold"]))
    with meet() as group:
        fit(task, order["experiment"], Path(order["folder"]), order["identity"], group=group)


if __name__ == "__main__":
    serve(_train)
