"""What tasks ask of the rest of an experiment, so that it is refused before any job runs: arithmetic, without torch.

Beside a task that asks for something stands a function of its name.
"""

from collections.abc import Sequence
from typing import Any

from .. import models, registry
from ..errors import ConfigError
from ..registry import register

__all__ = ["adversarial"]


@register("condition", "adversarial")
def adversarial(settings: dict[str, Any], size: Sequence[int] | None) -> None:
    """A crop that the discriminator takes, time for it to begin, and something to learn; raises ConfigError.

    settings: the experiment, every default filled in; size: edges of the target's crop [voxels], if they are known
    """
    task, epochs = settings["task"], settings["training"]["epochs"]
    name, options = task["discriminator"]["name"], dict(task["discriminator"])
    known = registry.entries("patches").get(name)
    if size and known and not known.is_plugin:
        models.patches_of(name, options).core(size, f"task.discriminator: {name}")
    if task["start"] and task["start"] >= epochs:
        raise ConfigError(f"task.start: {task['start']}, but training.epochs {epochs}; expected fewer")
    if not task["supervised"] and (task["start"] or not task["weight"]):
        why = f"nothing else trains before epoch {task['start']}" if task["start"] else "so is task.weight"
        raise ConfigError(f"task.supervised: 0, but {why}; expected a number above 0")
    if task["noise_epochs"] is not None and task["noise"] is None:
        raise ConfigError("task.noise_epochs: without task.noise; expected its standard deviation")
