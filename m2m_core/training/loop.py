"""THE loop: update, record, validate, save. Everything it does is a function of (task, settings, step), so a run that
was killed and started again ends with the bits of one that was not."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import registry
from ..errors import ConfigError, Diverged, Stopped
from ..lock import exclusive
from ..models import devices, initial
from ..tasks.protocol import Descent, Task
from . import checkpoint
from .average import averaging, recompute
from .batches import Batches, Key, stream
from .best import Best, Weights
from .distributed import Alone, Member
from .divergence import anomalies, diverged
from .networks import compilation, prepare, refuse_single_values
from .order import Order
from .rates import Rates
from .recording import Recorder, averaged, for_trackers
from .restarts import fruitful
from .signals import stop_requests
from .state import digest, gather, resume
from .tracking import Running, Tracker
from .watching import Watching

__all__ = ["Loop", "fit"]

INTERVAL = 50  # most updates between two rows of the history
GPU_WORKERS = 4
AGAIN = 100  # most updates whose batches are read again for statistics
APART = 2**40  # between the random numbers of two processes of a training

OnStep = Callable[[int, int, Mapping[str, Any]], None]  # step, steps, the row of the history or nothing
Say = Callable[[str], None]


def fit(
    task: Task,
    settings: Mapping[str, Any],
    folder: Path,
    identity: str,
    on_step: OnStep | None = None,
    say: Say | None = None,
    group: Member | None = None,
) -> "Loop":
    """Train `task` as `settings` (an experiment) say, continuing whatever `folder` holds of training `identity`.

    Returns the finished loop, whose `weights()` are the model; `say` is told what begins. Cost grows with epochs x
    examples x cost of a step; memory with the model, its optimizer and one batch. Raises Stopped after saving when
    asked to stop, Diverged when a loss is not finite, RunError when another process trains in `folder`, a file there
    is damaged, or memory runs out. In a `group` of several processes all call this, and only the first one writes.
    """
    group = group or Alone()
    with contextlib.ExitStack() as stack:
        if group.leads:
            stack.enter_context(exclusive(folder, say or (lambda text: None)))
        stop = stack.enter_context(stop_requests())
        loop = Loop(task, settings, folder, identity, say, group)
        stack.enter_context(devices.memory_errors(loop.advice))
        stack.enter_context(contextlib.closing(loop.recorder))
        completed = stack.enter_context(fruitful(folder)) if group.leads else lambda: None
        loop.run(stop, lambda *now: (completed(), on_step(*now) if on_step else None))
    return loop


class Loop:
    """One training: the task, where it stands, and where that is kept."""

    def __init__(
        self,
        task: Task,
        settings: Mapping[str, Any],
        folder: Path,
        identity: str,
        say: Say | None = None,
        group: Member | None = None,
    ) -> None:
        self.task, self.settings, self.folder, self.identity = task, settings["training"], Path(folder), identity
        self.say = say or (lambda text: None)
        self.group = group or Alone()
        self.device = self.group.device(self.settings["device"])
        self.split, self.batch_size = task.samples(), self.settings["batch_size"]
        place = self.group.rank, self.group.size
        accumulate = self.settings["accumulate"]
        order = Order(
            len(self.split.fit),
            accumulate * self.batch_size,
            self.settings["seed"],
            self.split.near,
            self.settings["neighbourhood"],
            self.split.streams,
            accumulate,
        )
        self.source = Batches(task, self.split, order, *place, accumulate)
        self.per_epoch = order.per_epoch
        self.steps = self.per_epoch * self.settings["epochs"]
        devices.repeat_exactly()
        if chosen := self.settings["initial_weights"]:
            initial.load(task.modules, chosen["path"], chosen["strict"], settings.get("initial_weights"), self.say)
        for module in task.modules.values():
            module.to(self.device)
        prepare(task.modules, self.settings, self.group)
        if self.source.fewest == 1 and not self.settings["compile"]:
            refuse_single_values(task.modules)
        self.descent = self._descent()
        self.rates = self._rates(settings["schedule"])
        self.average = averaging(self._modelling(), self.settings, self.per_epoch)
        self.recorder = Recorder(self.folder, self.device, self.group, partial(self._watched, settings))
        self.watching = Watching(task, self.split.watch, self.settings, self.recorder, self.say)
        self.best = Best()
        self.concluded: Weights = {}
        self.step, self.worked = 0, False  # updates made, and whether this process made any
        path = checkpoint.newest(self.folder)
        if state := checkpoint.restore(path, identity):
            resume(self, state, path)
        self.recorder.open(self.step)
        self.group.attach(task.modules)
        self.group.compare(lambda: digest(self, settings), "weights or settings")
        self.saved_step, self.saved_time = self.step, time.monotonic()

    def _descent(self) -> Descent | None:
        """What makes the steps of the task; None of a task that makes them by itself, one a batch."""
        found = getattr(self.task, "descent", None)
        if found is None and (self.settings["accumulate"] > 1 or self.settings["precision"] == "fp16"):
            text = "accumulate and precision fp16 need a task that has a `descent`, see tasks/protocol.py"
            raise ConfigError(f"training: {text}; expected 1, and float32 or bf16")
        return found

    def _watched(self, settings: Mapping[str, Any], first: int) -> Tracker:
        """What is told of this training from update number `first` on."""
        return Tracker(settings["tracking"], Running(self.folder, first, self.identity, settings), self.say)

    def _rates(self, common: Mapping[str, Any]) -> Rates:
        own = getattr(self.task, "schedules", {})
        return Rates(self.task.optimizers, self._scheduled(common), {n: self._scheduled(s) for n, s in own.items()})

    def _modelling(self) -> dict[str, nn.Module]:
        """The modules that are the model: only they are averaged."""
        return {name: self.task.modules[name] for name in getattr(self.task, "averaged", self.task.modules)}

    def _scheduled(self, chosen: Mapping[str, Any]) -> Any:
        options = dict(chosen)
        name = options.pop("name")
        if not len(self.split.fit):
            raise ConfigError("folds: no sample is left to fit; expected more samples, fewer folds or no validation")
        if 0 < self.steps <= (warmup := options.get("warmup", 0)):
            self.say(f"warning: schedule.warmup: {warmup} steps of {self.steps}; the peak rate is never reached")
        schedule = registry.load("schedule", name)(self.steps, **options)
        if schedule.watches and not self._measures:
            raise ConfigError(f"schedule.name: {name!r} needs training.validation and two training samples or groups")
        return schedule

    # ---- going on

    @property
    def advice(self) -> str:
        """What to change when memory runs out."""
        return f"batches of {self.batch_size}; lower training.batch_size or crops.size"

    @property
    def finished(self) -> bool:
        """All updates are done and recorded, or the score has not improved for `patience` measurements."""
        patience = self.settings["validation"]["patience"] if self._measures else None
        early = patience is not None and self.best.waited >= patience
        return not self.recorder.pending and (early or self.step >= self.steps)

    def run(self, stop: list[int], on_step: OnStep | None = None) -> None:
        """Update until finished; saves when due and when asked to stop."""
        if not self.finished:
            self._announce()
            self._train()
            self._run(stop, on_step)
        self._conclude()

    def _run(self, stop: list[int], on_step: OnStep | None) -> None:
        with contextlib.closing(self._stream()) as batches:
            while not self.finished:
                wished = self.group.vote(lambda: (bool(stop), self._is_late()))
                if not self._row_is_due():  # else the process before was asked to stop while it validated
                    self._update(batches)
                row = self._record(batches, stop) if self._row_is_due() else {}
                if on_step:
                    on_step(self.step, self.steps, row)
                stopping, late = wished()  # read once: a signal after this line waits for the next update
                stopping = stopping or self._row_is_due()  # which was left because of a later wish
                if stopping or late or self.finished or self._save_is_due():
                    self.save()
                if stopping and not self.finished:
                    raise Stopped(f"stopped at step {self.step} of {self.steps}, saved; run again to continue")

    def _stream(self) -> Iterator[Any]:
        workers = self.settings["workers"]
        if workers is None:
            workers = GPU_WORKERS if self.device.type == "cuda" else 0
        return stream(self.source, self._keys(self.step), workers, self.device.type == "cuda")

    def _keys(self, start: int) -> Iterable[Key]:
        """Every batch that the updates and measurements after `start` use, in order."""
        if self._row_is_due() and self._score_is_due(start):
            yield from self.source.validations
        for step in range(start, self.steps):
            yield from self.source.keys(step)
            if self._score_is_due(step + 1):
                yield from self.source.validations

    def _update(self, batches: Iterator[Any]) -> None:
        devices.seed(self.device, (self.settings["seed"] * 1_000_003 + self.step + self.group.rank * APART) % 2**63)
        self.rates.set(self.step)
        shares = [self.source.count(key) for key in self.source.keys(self.step)]
        total = sum(count for _, count in shares)
        found = [self._descend(next(batches), place, shares, total) for place in range(len(shares))]
        own = [own for own, _ in shares]
        self.recorder.take(averaged(found, own), total, sum(own) / total)
        if self.average:
            self.average.update(self.step)
        self.step += 1
        self.worked = True

    def _descend(self, batch: Any, place: int, shares: Sequence[tuple[int, int]], total: int) -> dict[str, Any]:
        """One batch of an update; the step is made with the last one."""
        own, count = shares[place]
        self.group.weigh(own / count)
        if self.descent:
            self.descent.begin(count / total, place == 0, place == len(shares) - 1, self.step, self.per_epoch)
        looking = anomalies(self.step, self.settings["detect_anomaly"])
        with looking, compilation(self.settings["compile"]), self._precision():
            scalars = self.task.step(devices.move(batch, self.device))
        self.group.settle()
        return scalars

    def _precision(self) -> Any:
        return devices.arithmetic(self.device, self.settings["precision"])

    def _announce(self) -> None:
        count = sum(p.numel() for module in self.task.modules.values() for p in module.parameters())
        where = devices.described(self.device)
        where = f"{self.group.size} x {where}" if self.group.size > 1 else where
        aside = f", {len(self.split.validate):,} for validation" if self._measures else ""
        self.say(
            f"{count:,} parameters on {where}; {len(self.split.fit):,} examples{aside}; "
            f"{self.steps:,} steps of {self.source.accumulate * self.batch_size} in {self.settings['epochs']:,} epochs"
            + (f", going on after step {self.step:,}" if self.step else "")
        )

    # ---- recording and choosing

    def _row_is_due(self) -> bool:
        in_epoch = self.step % self.per_epoch
        return bool(self.recorder.pending) and (in_epoch == 0 or in_epoch % INTERVAL == 0)

    @property
    def _measures(self) -> bool:
        return bool(self.settings["validation"]) and len(self.split.validate) > 0

    @property
    def _keeps_best(self) -> bool:
        return getattr(self.task, "keeps_best", True)

    def _score_is_due(self, step: int) -> bool:
        epoch, rest = divmod(step, self.per_epoch)
        return self._measures and not rest and epoch % self.settings["validation"]["every"] == 0

    def _record(self, batches: Iterator[Any], stop: list[int]) -> Mapping[str, Any]:
        """One row: means since the last one and, when due, the validation score; nothing if stopped in between."""
        self._refuse_nonfinite()
        self.recorder.pause()
        score = self._validate(batches, stop) if self._score_is_due(self.step) else None
        if score is None and self._score_is_due(self.step):
            return {}
        lr = next(iter(self.task.optimizers.values())).param_groups[0]["lr"]
        row = {"step": self.step, "epoch": self.step // self.per_epoch, **self.recorder.means()}
        return self.recorder.write({**row, "validation": score, "lr": lr}, lambda: for_trackers(self.task.optimizers))

    def _refuse_nonfinite(self) -> None:
        """Name the first bad update and its examples, and keep its batch."""
        if found := self.recorder.first_nonfinite():
            if not self.group.leads:
                raise Diverged("as the first process says")
            raise diverged(self.source, self.step - found[0], found[1], self.folder, self._kept())

    def _kept(self) -> str:
        kept = f"the checkpoint of step {self.saved_step} is kept" if self.saved_step else "no checkpoint was made yet"
        return f"{kept}; lower optimizer.lr or set training.clip"

    def _validate(self, batches: Iterator[Any], stop: list[int]) -> float | None:
        with self._evaluating(), torch.no_grad(), compilation(self.settings["compile"]), self._precision():
            score = self._score(batches, stop)
            if score is None:
                return None
            if not math.isfinite(score):
                raise Diverged(f"step {self.step}: the validation score is {score}; {self._kept()}")
            self.best.observe(score, self.step, self._current if self._keeps_best else dict)
            if not stop and self.group.leads:
                self.watching.look(self.step, self.step // self.per_epoch)
        self.rates.observe(score)
        return score

    def _score(self, batches: Iterator[Any], stop: list[int]) -> float | None:
        """Mean over all validation examples of what `measure` makes small; None when asked to stop."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for key in self.source.validations:
            wished = self.group.vote(lambda: (bool(stop),))
            if wished()[0]:
                return None
            measured = self.task.measure(devices.move(next(batches), self.device))
            total += next(iter(measured.values())).double() * self.source.count(key)[0]
        return float(self.group.sum(total)) / len(self.split.validate)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Modules in evaluation mode, holding the averaged weights if there are any."""
        for module in self.task.modules.values():
            module.eval()
        with self._averaged():
            yield
        self._train()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Modules that hold the averaged weights, and the statistics that belong to them, if there are any."""
        if self.average is None:
            yield
            return
        with self.average.applied():
            if self.average.statistics:
                with torch.no_grad(), compilation(self.settings["compile"]), self._precision():
                    recompute(self._modelling(), self._batches_before(), self.task.measure)
            yield

    def _batches_before(self) -> Iterator[Any]:
        """The last batches of the epoch that ends, once more, each process its part."""
        for step in range(max(self.step - self.per_epoch, self.step - AGAIN, 0), self.step):
            for key in self.source.keys(step):
                own, count = self.source.count(key)
                self.group.weigh(own / count)
                (batch,) = stream(self.source, [key], 0, False)
                yield devices.move(batch, self.device)

    def _train(self) -> None:
        for module in self.task.modules.values():
            module.train()

    # ---- keeping

    def weights(self) -> Weights:
        """The model: the best on the validation examples, or the last (averaged) weights without validation."""
        if self.best.weights or self.concluded:
            return self.best.weights or self.concluded
        with self.average.applied() if self.average else contextlib.nullcontext():
            return self._current()

    def _conclude(self) -> None:
        """Take the model while all processes are there, where its statistics need a pass over data."""
        if self.average and self.average.statistics and not self.best.weights:
            with self._evaluating():
                self.concluded = self._current()

    def _current(self) -> Weights:
        states = {name: module.state_dict() for name, module in self.task.modules.items()}
        return {name: {k: v.detach().cpu().clone() for k, v in state.items()} for name, state in states.items()}

    def _save_is_due(self) -> bool:
        every = self.settings["save_steps"]
        return bool(every) and self.step % every == 0

    def _is_late(self) -> bool:
        return time.monotonic() - self.saved_time > 60 * self.settings["save_minutes"]

    def save(self) -> None:
        """Write the whole state; never one with a number that is not finite."""
        if self.recorder.pending:
            self._refuse_nonfinite()
        state = gather(self)
        if bad := checkpoint.nonfinite(state["modules"]):
            raise Diverged(f"step {self.step - 1}: {bad} is not finite after the update; {self._kept()}")
        if self.group.leads:
            checkpoint.set_aside(self.folder, self.saved_step, 1 if self.finished else self.settings["keep"])
            checkpoint.save(self.folder / checkpoint.LAST, state)
        self.saved_step, self.saved_time = self.step, time.monotonic()
