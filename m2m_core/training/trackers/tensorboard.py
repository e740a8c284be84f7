"""TensorBoard: event files in the training's folder."""

from collections.abc import Mapping

import numpy as np

from ...registry import register
from ..tracking import Running

__all__ = ["TensorBoard"]

MEASURES = ("loss", "validation")  # what its table of hyper-parameters shows of each run


@register("tracker", "tensorboard")
class TensorBoard:
    """Event files for TensorBoard; a training that goes on hides what was written of updates it makes again."""

    def __init__(self, running: Running) -> None:
        from torch.utils.tensorboard import SummaryWriter  # seconds of import that only training pays
        from torch.utils.tensorboard.summary import hparams

        folder = running.folder / "tensorboard"
        self.writer = SummaryWriter(folder, purge_step=running.first if folder.exists() else None)
        for summary in hparams(running.flat, dict.fromkeys(MEASURES, 0.0)):
            self.writer._get_file_writer().add_summary(summary)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers after update `step`."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Record pictures, (height, width, 3) uint8 each, after update `step`."""
        for name, image in images.items():
            self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is pending."""
        self.writer.close()
