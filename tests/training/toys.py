"""A task that trains in milliseconds, and settings for it."""

import os
import signal

import numpy as np
import torch
from torch import nn

from m2m_core.tasks.protocol import Prediction, Split
from m2m_core.training.loop import fit

__all__ = ["VALIDATION", "Scored", "Toy", "column", "in_child", "same", "settings", "stop_at", "train", "weights"]

SETTINGS = {
    "epochs": 4,
    "batch_size": 2,
    "precision": "float32",
    "augment": [],
    "farthest_shift": None,
    "augment_factor": None,
    "augment_offset": None,
    "neighbourhood": None,
    "clip": None,
    "ema": None,
    "average": None,
    "validation": None,
    "seed": 0,
    "initial_weights": None,
    "save_steps": 5,
    "save_minutes": 60.0,
    "keep": 2,
    "workers": 0,
    "device": "cpu",
    "gpus": 1,
    "nodes": 1,
    "threads": 1,
    "accumulate": 1,
    "init_std": None,
    "channels_last": False,
    "compile": False,
    "checkpoint_activations": False,
    "detect_anomaly": False,
}
VALIDATION = {"fraction": 0.1, "every": 1, "patience": None}


class Toy:
    """A line through noisy points, with batch normalisation and dropout, which a resumed run could get wrong."""

    def __init__(self, fit: int = 6, validate: int = 0, lr: float = 0.1, module: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        layers = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1)
        self.modules = {"model": module or nn.Sequential(*layers)}
        self.optimizers = {"model": torch.optim.Adam(self.modules["model"].parameters(), lr=lr)}
        self.counts = fit, validate

    def samples(self):
        fit, validate = self.counts
        return Split(range(fit), range(100, 100 + validate), [], "watched" if validate else None)

    def item(self, example, rng):
        x = np.random.default_rng(example).standard_normal(3, "f4")
        noise = rng.standard_normal() if rng else 0.0
        return x, np.array([x.sum() + 0.1 * noise], "f4")

    def collate(self, items):
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True))

    def step(self, batch):
        loss = self._loss(batch)
        self.optimizers["model"].zero_grad()
        loss.backward()
        self.optimizers["model"].step()
        return {"loss": loss.detach()}

    def measure(self, batch):
        return {"loss": self._loss(batch)}

    def _loss(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self.modules["model"](x), y)

    def predict(self, sample):
        blocks = iter([((slice(None),), np.linspace(0, 1, 2 * 4 * 4, dtype="f4").reshape(2, 4, 4))])
        return Prediction((2, 4, 4), {}, blocks)

    def evaluate(self, prediction, sample):
        return [("emulator", "field", "power", k, 1 / k) for k in (1.0, 10.0, 100.0)] + [
            ("emulator", "field", "mse", None, 0.5)
        ]


class Scored(Toy):
    """Validation scores as given, one an epoch."""

    def __init__(self, *scores):
        super().__init__(validate=1)
        self.scores = list(scores)

    def samples(self):
        split = super().samples()
        return type(split)(split.fit, split.validate, split.predict)

    def measure(self, batch):
        return {"loss": torch.tensor(self.scores.pop(0))}


def stop_at(step, number=signal.SIGTERM):
    """Ask ourselves to stop after update number `step`."""

    def on_step(done, steps, row):
        if done == step:
            os.kill(os.getpid(), number)

    return on_step


def column(folder, name):
    head, *lines = (folder / "history.csv").read_text().splitlines()
    return [line.split(",")[head.split(",").index(name)] for line in lines]


def settings(schedule: dict | None = None, **training) -> dict:
    """The settings of a training of few steps."""
    tracking = [{"name": "tensorboard"}]
    return {"training": SETTINGS | training, "schedule": schedule or {"name": "constant"}, "tracking": tracking}


def train(folder, task=None, on_step=None, say=None, schedule=None, **training):
    """Train a toy to the end; returns the loop."""
    return fit(task or Toy(), settings(schedule, **training), folder, "toy", on_step, say)


def weights(task) -> dict:
    """A copy of everything that the modules hold."""
    return {f"{m}.{k}": v.clone() for m, module in task.modules.items() for k, v in module.state_dict().items()}


def same(first: dict, second: dict) -> bool:
    """Whether two such copies agree bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def in_child(function) -> int:
    """The exit code of a forked process that runs `function()`."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
