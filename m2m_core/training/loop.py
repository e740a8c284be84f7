"""THE loop: update, record, validate, save. Everything it does is a function of (task, settings, step), so a run that
was killed and started again ends with the bits of one that was not."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import registry
from ..errors import ConfigError, Diverged, RunError, Stopped
from ..files import exclusive, write_whole
from ..models import devices
from ..tasks.protocol import Split, Task
from . import checkpoint
from .average import Average
from .batches import Examples, batches, members
from .history import History
from .signals import stop_requests
from .tracking import Tracker

__all__ = ["Loop", "fit"]

INTERVAL = 50  # most updates between two rows of the history
PICTURES = 8  # pictures a run

OnStep = Callable[[int, int, Mapping[str, float]], None]


def fit(task: Task, settings: Mapping[str, Any], folder: Path, identity: str, on_step: OnStep | None = None) -> "Loop":
    """Train `task` as `settings` (an experiment) say, continuing whatever `folder` holds of training `identity`.

    Returns the finished loop, whose `weights()` are the model. Cost grows with epochs x examples x cost of a step;
    memory with the model, its optimizer and one batch. Raises Stopped after saving when asked to stop, Diverged when a
    loss is not finite, RunError when another process trains in `folder` or a file there is damaged.
    """
    with exclusive(folder), stop_requests() as stop:
        loop = Loop(task, settings, folder, identity)
        try:
            loop.run(stop, on_step or (lambda step, steps, row: None))
        finally:
            loop.close()
    return loop


class Loop:
    """One training: the task, where it stands, and where that is kept."""

    def __init__(self, task: Task, settings: Mapping[str, Any], folder: Path, identity: str) -> None:
        self.task, self.settings, self.folder, self.identity = task, settings["training"], Path(folder), identity
        self.device = devices.choose(self.settings["device"])
        self.split = _checked(task.samples())
        self.per_epoch = -(-len(self.split.fit) // self.settings["batch_size"])
        self.steps = self.per_epoch * self.settings["epochs"]
        for module in task.modules.values():
            module.to(self.device)
        schedule = dict(settings["schedule"])
        self.schedule = registry.load("schedule", schedule.pop("name"))(self.steps, **schedule)
        self.peaks = {name: [g["lr"] for g in optimizer.param_groups] for name, optimizer in task.optimizers.items()}
        self.average = Average(task.modules, self.settings["ema"]) if self.settings["ema"] is not None else None
        self.step, self.attempts, self.seconds = 0, 1, 0.0
        self.best: dict[str, Any] = {"score": math.inf, "step": 0, "waited": 0, "weights": {}}
        self.pending: list[dict[str, torch.Tensor]] = []  # scalars of updates that no row holds yet
        self.worked = False  # whether this process made an update
        self._restore()
        self.saved_step, self.saved_time, self.row_time = self.step, time.monotonic(), time.monotonic()
        self.history = History(self.folder / "history.csv", self.step)
        self._tracker: Tracker | None = None

    # ---- going on

    @property
    def finished(self) -> bool:
        """All updates are done, or the validation score has not improved for `patience` measurements."""
        patience = (self.settings["validation"] or {}).get("patience")
        return self.step >= self.steps or (patience is not None and self.best["waited"] >= patience)

    def run(self, stop: list[int], on_step: OnStep) -> None:
        """Update until finished; saves when due and when asked to stop."""
        if self.finished:
            return
        for module in self.task.modules.values():
            module.train()
        for batch in self._batches():
            self._update(batch)
            row = self._record() if self._row_is_due() else {}
            on_step(self.step, self.steps, row)
            stopping = bool(stop)  # read once: a signal after this line waits for the next update
            if stopping or self.finished or self._save_is_due():
                self.save()
            if stopping and not self.finished:
                raise Stopped(f"stopped at step {self.step} of {self.steps}, saved; run again to continue")
            if self.finished:
                break

    def _batches(self) -> Any:
        workers = self.settings["workers"]
        workers = (4 if self.device.type == "cuda" else 0) if workers is None else workers
        keys = (self.settings["batch_size"], self.settings["seed"], self.step, self.steps)
        return batches(self.task, self.split.fit, *keys, workers)

    def _update(self, batch: Any) -> None:
        torch.manual_seed(self.settings["seed"] * 1_000_003 + self.step)
        factor = self.schedule.factor(self.step)
        for name, optimizer in self.task.optimizers.items():
            for group, peak in zip(optimizer.param_groups, self.peaks[name], strict=True):
                group["lr"] = peak * factor
        with self._precision(), _memory_errors(self.settings["batch_size"]):
            self.pending.append(self.task.step(devices.move(batch, self.device)))
        if self.average:
            self.average.update(self.step)
        self.step += 1
        self.worked = True

    def _precision(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings["precision"] == "bf16")

    # ---- recording and choosing

    def _row_is_due(self) -> bool:
        in_epoch = self.step % self.per_epoch
        return in_epoch == 0 or in_epoch % INTERVAL == 0

    def _record(self) -> dict[str, float]:
        """Write one row: means since the last one, and the validation score at the end of an epoch."""
        means = self._means()
        now, updates = time.monotonic(), len(self.pending)
        rate = updates * self.settings["batch_size"] / max(now - self.row_time, 1e-9)
        self.seconds += now - self.row_time
        epoch = self.step // self.per_epoch
        score = self._validate() if self.step % self.per_epoch == 0 else None
        lr = next(iter(self.task.optimizers.values())).param_groups[0]["lr"]
        row = {"step": self.step, "epoch": epoch, **means, "validation": score, "lr": lr, "samples_per_second": rate}
        self.history.append({**row, "seconds": self.seconds, "attempt": self.attempts})
        track = {k: v for k, v in row.items() if k not in ("step", "epoch")}
        self.tracker.scalars(self.step, {**track, "memory_MiB": devices.peak_memory(self.device)})
        self.pending.clear()
        self.row_time = time.monotonic()
        return {k: v for k, v in row.items() if v is not None}

    def _means(self) -> dict[str, float]:
        names = self.pending[0]
        values = torch.stack([torch.stack([row[name].detach().float() for name in names]) for row in self.pending])
        finite = torch.isfinite(values).all(1)
        if not bool(finite.all()):
            self._diverged(int(finite.int().argmin()), values, list(names))
        return dict(zip(names, values.double().mean(0).tolist(), strict=True))

    def _diverged(self, first: int, values: torch.Tensor, names: list[str]) -> None:
        """Name the first bad update and its examples, and keep its batch."""
        step = self.step - len(self.pending) + first
        bad = next(n for n, value in zip(names, values[first].tolist(), strict=True) if not math.isfinite(value))
        epoch, numbers = members(len(self.split.fit), self.settings["batch_size"], self.settings["seed"], step)
        examples = [self.split.fit[int(number)] for number in numbers]
        source = Examples(self.task, self.split.fit, self.settings["seed"])
        items = [source[epoch, int(number)] for number in numbers]
        write_whole(self.folder / "diverged.npz", lambda stream: _dump(stream, items))
        text = f"step {step}: {bad} is not finite for examples {examples}; the checkpoint of step {self.saved_step} is kept"
        raise Diverged(f"{text}; lower optimizer.lr or set training.clip; the batch is in {self.folder}/diverged.npz")

    def _validate(self) -> float | None:
        validation = self.settings["validation"]
        if not validation or not len(self.split.validate) or (self.step // self.per_epoch) % validation["every"]:
            return None
        with self._evaluating(), torch.no_grad(), self._precision():
            score = self._score()
            self._picture()
        if not math.isfinite(score):
            raise Diverged(f"step {self.step}: the validation score is {score}; the last good checkpoint is kept")
        self.schedule.observe(score)
        if score < self.best["score"]:
            self.best = {"score": score, "step": self.step, "waited": 0, "weights": self._current()}
        else:
            self.best["waited"] += 1
        return score

    def _score(self) -> float:
        """Mean over all validation examples of what `measure` makes small."""
        examples, size = self.split.validate, self.settings["batch_size"]
        total = 0.0
        for first in range(0, len(examples), size):
            items = [self.task.item(examples[i], None) for i in range(first, min(first + size, len(examples)))]
            measured = self.task.measure(devices.move(self.task.collate(items), self.device))
            total += float(next(iter(measured.values()))) * len(items)
        return total / len(examples)

    def _picture(self) -> None:
        measurements = self.settings["epochs"] // self.settings["validation"]["every"]
        if (self.step // self.per_epoch) % (max(1, measurements // PICTURES) * self.settings["validation"]["every"]):
            return
        if self.split.watch is not None:
            prediction = self.task.predict(self.split.watch).whole()
            self.tracker.pictures(self.step, prediction, self.task.evaluate(prediction, self.split.watch))

    @contextlib.contextmanager
    def _evaluating(self) -> Any:
        """Modules in evaluation mode, holding the averaged weights if there are any."""
        for module in self.task.modules.values():
            module.eval()
        with self.average.applied() if self.average else contextlib.nullcontext():
            yield
        for module in self.task.modules.values():
            module.train()

    # ---- keeping

    @property
    def tracker(self) -> Tracker:
        """TensorBoard's writer, opened when the first row is written."""
        self._tracker = self._tracker or Tracker(self.folder / "tensorboard", self.step)
        return self._tracker

    def weights(self) -> dict[str, dict[str, torch.Tensor]]:
        """The model: the best on the validation examples, or the last (averaged) weights without validation."""
        if self.best["weights"]:
            return self.best["weights"]
        with self.average.applied() if self.average else contextlib.nullcontext():
            return self._current()

    def _current(self) -> dict[str, dict[str, torch.Tensor]]:
        return {n: {k: v.detach().cpu().clone() for k, v in m.state_dict().items()} for n, m in self.task.modules.items()}

    def _save_is_due(self) -> bool:
        every = self.settings["save_steps"]
        if every and self.step % every == 0:
            return True
        return time.monotonic() - self.saved_time > 60 * self.settings["save_minutes"]

    def save(self) -> None:
        """Write the whole state; never one with a number that is not finite."""
        if self.pending:
            self._means()
        state = {
            "identity": self.identity,
            "step": self.step,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "modules": {name: module.state_dict() for name, module in self.task.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.task.optimizers.items()},
            "average": self.average.state() if self.average else {},
            "schedule": self.schedule.state(),
            "best": self.best,
        }
        checkpoint.save(self.folder / "last.pt", state)
        self.saved_step, self.saved_time = self.step, time.monotonic()

    def _restore(self) -> None:
        state = checkpoint.restore(self.folder / "last.pt", self.identity)
        if state is None or state["step"] > self.steps:  # fewer epochs than before: their result is another, from the start
            return
        try:
            for name, module in self.task.modules.items():
                module.load_state_dict(state["modules"][name])
            for name, optimizer in self.task.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            if self.average:
                self.average.restore(state["average"])
            self.schedule.restore(state["schedule"]) if state["schedule"] else None
            self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
            self.attempts = state["attempts"] + (not self.finished)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise RunError(f"{self.folder / 'last.pt'}: does not fit this model: {reason}") from error

    def close(self) -> None:
        """Write out what TensorBoard has not yet."""
        if self._tracker:
            self._tracker.close()


def _checked(split: Split) -> Split:
    if not len(split.fit):
        raise ConfigError("folds: no training sample is left to fit; use more samples, fewer folds or no validation")
    return split


def _dump(stream: Any, items: list[Any]) -> None:
    arrays = {f"{i}-{j}": np.asarray(part) for i, item in enumerate(items) for j, part in enumerate(item)}
    np.savez(stream, **arrays)


@contextlib.contextmanager
def _memory_errors(batch_size: int) -> Any:
    try:
        yield
    except torch.OutOfMemoryError as error:
        text = f"out of memory at batch_size {batch_size}: lower training.batch_size or crops.size"
        raise RunError(f"{text}; {str(error).splitlines()[0][:120]}") from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            text = f"out of memory at batch_size {batch_size}: lower training.batch_size or crops.size"
            raise RunError(text) from error
        raise
