"""Toys in several processes: `python -m tests.training.ranks` is one of the others, `main` the first."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from m2m_core.errors import DataError, M2MError
from m2m_core.tasks.protocol import Descent, Split
from m2m_core.training.launch import members
from m2m_core.training.loop import fit
from m2m_core.training.rank import serve
from tests.training.toys import Toy, settings

__all__ = ["BEHAVIOURS", "Line", "Slow", "main", "together"]


class Line(Toy):
    """In double precision, without what depends on the other examples of a batch: the same in any number of parts."""

    def __init__(self, fit=7, validate=5, **options):
        torch.manual_seed(0)
        super().__init__(fit, validate, module=nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double())
        self.descent = Descent(clip=0.5)

    def samples(self):
        fit, validate = self.counts
        return Split(range(fit), range(100, 100 + validate), [])  # without pictures, which cost most of the time

    def collate(self, items):
        return tuple(part.double() for part in super().collate(items))

    def step(self, batch):
        loss = self._loss(batch)
        return {"loss": loss.detach(), **self.descent(loss, self.optimizers["model"])}


class Stateful(Toy):
    """With batch normalisation, whose running statistics are a state, and dropout."""

    def __init__(self, **options):
        torch.manual_seed(0)
        normal = nn.Unflatten(1, (1, 3)), nn.BatchNorm1d(1), nn.Flatten()
        super().__init__(module=nn.Sequential(*normal, nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1)))

    def samples(self):
        return Split(range(7), range(100, 105), [])


class Normed(Line):
    """With batch normalisation of several values an example, whose statistics are those of the whole batch."""

    def __init__(self, **options):
        super().__init__(**options)
        torch.manual_seed(0)
        normal = nn.Unflatten(1, (4, 2)), nn.BatchNorm1d(4), nn.Flatten()
        self.modules = {"model": nn.Sequential(nn.Linear(3, 8), *normal, nn.Tanh(), nn.Linear(8, 1)).double()}
        self.optimizers = {"model": torch.optim.Adam(self.modules["model"].parameters(), lr=0.1)}


class Halved(Line):
    """With scaled losses, whose gradient overflows where it is scaled by as much as at first."""

    def __init__(self, **options):
        super().__init__(**options)
        self.descent = Descent(clip=0.5, half=True)

    def step(self, batch):
        loss = self._loss(batch)
        steep = loss + (loss - loss.detach()) * 1e304 if self.descent.scale == 2.0**16 else loss
        return {"loss": loss.detach(), **self.descent(steep, self.optimizers["model"])}


class Slow(Line):
    """Twenty milliseconds a step."""

    def step(self, batch):
        time.sleep(0.02)
        return super().step(batch)


class Interrupted(Line):
    """The first process is asked to stop while it measures the first validation batch."""

    def measure(self, batch):
        if os.environ.get("RANK_OF_TEST") == "0":
            os.kill(os.getpid(), signal.SIGTERM)
        return super().measure(batch)


class Damaged(Line):
    """Example 3 cannot be read."""

    def item(self, example, rng):
        if example == 3:
            raise DataError("fields/3.npy: cut short; expected 96 bytes")
        return super().item(example, rng)


class Buggy(Line):
    """Fails in the other processes only."""

    def step(self, batch):
        if os.environ.get("RANK_OF_TEST") != "0":
            raise ValueError("a bug of somebody")
        return super().step(batch)


class Other(Line):
    """Begins elsewhere in the other processes."""

    def __init__(self, **options):
        super().__init__(**options)
        if os.environ.get("RANK_OF_TEST") != "0":
            next(self.modules["model"].parameters()).data.add_(1e-9)


class Nan(Line):
    """Example 4 is not a number."""

    def item(self, example, rng):
        x, y = super().item(example, rng)
        return x, y * float("nan") if example == 4 else y


BEHAVIOURS = {
    kind.__name__: kind for kind in (Line, Stateful, Normed, Halved, Slow, Interrupted, Damaged, Buggy, Other, Nan)
}


def together(folder, toy="Line", on_step=None, say=None, options=None, schedule=None, gpus=2, nodes=1, **training):
    """Train a toy in several processes, this one being the first; returns the loop."""
    chosen = settings(schedule, **{"gpus": gpus, "nodes": nodes, "save_steps": None} | training)
    order = {"toy": toy, "options": options or {}, "settings": chosen, "folder": str(folder)}
    say = say or (lambda text: None)
    with members(chosen["training"], order, say, "tests.training.ranks") as group:
        return fit(BEHAVIOURS[toy](**order["options"]), chosen, folder, "toy", on_step, say, group)


def one_of_the_others(order, meet):
    task = BEHAVIOURS[order["toy"]](**order["options"])
    with meet() as group:
        fit(task, order["settings"], Path(order["folder"]), "toy", group=group)


def main(folder, arguments):
    """The first process as a program: its exit code is that of the error."""
    os.environ["RANK_OF_TEST"] = "0"
    torch.set_num_threads(1)
    try:
        together(Path(folder), **json.loads(arguments))
    except M2MError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.pop("RANK_OF_TEST", None)
    serve(one_of_the_others)
