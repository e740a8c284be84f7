"""Watching a training: numbers and pictures go to every tracker that the config names, and none of them can stop it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import registry
from . import pictures

__all__ = ["Pace", "Running", "Tracker", "Watcher", "reason"]

FIRST = 20.0  # seconds of training before the first pictures
SHARE = 0.05  # of the time, for pictures
UNTOLD = ("code", "initial_weights", "inference", "evaluation", "tracking")  # digests, and what decides no weight


class Pace:
    """Lets work that nobody waits for take a twentieth of the time and no more."""

    def __init__(self) -> None:
        self.free = time.monotonic() + FIRST

    @property
    def allows(self) -> bool:
        """Whether the work before was long enough ago."""
        return time.monotonic() >= self.free

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The work is being done."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.free = time.monotonic() + (time.monotonic() - begin) / SHARE


@dataclass(frozen=True)
class Running:
    """A training as trackers know it: they keep their files in `folder`, and go on before update number `first`."""

    folder: Path
    first: int
    identity: str
    settings: Mapping[str, Any]  # of the experiment

    @property
    def flat(self) -> dict[str, bool | int | float | str]:
        """The settings by dotted key, as hyper-parameters are shown."""
        return dict(_flat({key: value for key, value in self.settings.items() if key not in UNTOLD}))

    @property
    def name(self) -> str:
        """Experiment and fold, for people: the folders that `folder` is in."""
        return " ".join(self.folder.absolute().parts[-4:-2])


class Watcher(Protocol):
    """One place that a training is watched at: `@register("tracker", "x")`, made with a `Running` and its options."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers after update `step`."""

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Record pictures, (height, width, 3) uint8 each, after update `step`."""

    def close(self) -> None:
        """Write out what is pending."""


class Tracker:
    """Tells all chosen trackers; one that fails is left out from then on, and `say` is told in one line.

    chosen: name and options of each
    """

    def __init__(self, chosen: list[dict[str, Any]], running: Running, say: Callable[[str], None]) -> None:
        self.say, self.watchers = say, {}
        for one in chosen:
            options = {key: value for key, value in one.items() if key != "name"}
            with self._safely(one["name"]):
                self.watchers[one["name"]] = registry.load("tracker", one["name"])(running, **options)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Record numbers after update `step`; None is nothing."""
        known = {name: value for name, value in values.items() if value is not None}
        self._tell(lambda watcher: watcher.scalars(step, known))

    def pictures(self, step: int, fields: Mapping[str, np.ndarray], rows: pictures.Rows) -> None:
        """Record slices of `fields`, (C, *space) each, and the curves among the rows of an evaluation."""
        if self.watchers:
            drawn = pictures.drawn(fields, rows)
            self._tell(lambda watcher: watcher.images(step, drawn))

    def close(self) -> None:
        """Write out what is pending."""
        self._tell(lambda watcher: watcher.close())

    def _tell(self, what: Callable[[Watcher], None]) -> None:
        for name, watcher in list(self.watchers.items()):
            with self._safely(name):
                what(watcher)

    @contextlib.contextmanager
    def _safely(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.watchers.pop(name, None)
            self.say(f"{name}: {reason(error)}; the training goes on without it")


def reason(error: Exception) -> str:
    """An error that ends nothing, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{where}.{key}" if where else key)
    else:
        yield where, value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)
