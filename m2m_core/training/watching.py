"""Looking at a validation sample while a model trains: when there is time for it, and what is drawn."""

from collections.abc import Callable, Mapping
from typing import Any

from ..data.catalogue import Sample
from ..tasks.protocol import Task
from .recording import Recorder
from .tracking import Pace, reason

__all__ = ["Watching"]

PICTURES = 100  # most pictures a run: a fifth of a megabyte each


class Watching:
    """Draws the prediction of one sample and what it is worth; no error of it matters.

    settings: of the training; say: is told what went wrong
    """

    def __init__(
        self,
        task: Task,
        sample: Sample | None,
        settings: Mapping[str, Any],
        recorder: Recorder,
        say: Callable[[str], None],
    ) -> None:
        self.task, self.sample, self.settings, self.recorder, self.say = task, sample, settings, recorder, say
        self.pace = Pace()

    def look(self, step: int, epoch: int) -> None:
        """Draw what there is after update `step`, the last of `epoch`, if it is due."""
        if self.sample is None or not self._is_due(epoch):
            return
        try:
            with self.pace.working():
                self._draw(self.sample, step)
        except Exception as error:
            self.say(f"no pictures of step {step}: {reason(error)}")

    def _is_due(self, epoch: int) -> bool:
        """At each measurement, or some of very many, where there is time for it; and at the last one."""
        every, epochs = self.settings["validation"]["every"], self.settings["epochs"]
        apart = -(-epochs // (every * PICTURES)) * every
        return epoch + every > epochs or (epoch % apart == 0 and self.pace.allows)

    def _draw(self, sample: Sample, step: int) -> None:
        prediction = self.task.predict(sample).whole()
        beside = self.task.beside(sample) if hasattr(self.task, "beside") else {}
        rows = self.task.evaluate(prediction, sample)
        self.recorder.pictures(step, {**beside, "prediction": prediction}, rows)
