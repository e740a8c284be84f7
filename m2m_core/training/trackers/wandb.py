"""Weights & Biases, which is no dependency: `pip install wandb`; files stay in the training's folder."""

import os
from collections.abc import Mapping
from typing import Literal

import numpy as np

from ...registry import register
from ..tracking import Running

__all__ = ["WeightsAndBiases"]

PLACES = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")  # else in the home directory


@register("tracker", "wandb")
class WeightsAndBiases:
    """A run of Weights & Biases; a training that goes on is the same run, and steps that it had are not told again.

    Options:
        project: which runs are kept together
        entity: user or team that it belongs to; the default of the account unless given
        mode: offline writes files for `wandb sync` and never uses the network; with disabled nothing is imported
    """

    def __init__(
        self,
        running: Running,
        *,
        project: str = "m2m",
        entity: str | None = None,
        mode: Literal["offline", "online", "disabled"] = "offline",
    ) -> None:
        self.run = None
        if mode == "disabled":
            return
        for place in PLACES:
            os.environ.setdefault(place, str(running.folder / "wandb" / "private"))
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        import wandb

        self.image = wandb.Image
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, save_code=False)
        self.run = wandb.init(
            project=project,
            entity=entity,
            mode=mode,
            dir=running.folder,
            id=running.identity,
            name=running.name,
            config=running.flat,
            resume="allow" if mode == "online" else None,  # offline the id alone joins the parts
            settings=quiet,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers after update `step`."""
        if self.run:
            self.run.log(dict(values), step=step)

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Record pictures, (height, width, 3) uint8 each, after update `step`."""
        if self.run:
            self.run.log({name: self.image(image) for name, image in images.items()}, step=step)

    def close(self) -> None:
        """Write out what is pending."""
        if self.run:
            self.run.finish()
