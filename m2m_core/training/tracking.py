"""TensorBoard: losses, learning rate, throughput, memory, and pictures of a validation sample."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Pace", "Tracker"]

FIRST = 20.0  # seconds of training before the first pictures
SHARE = 0.05  # of the time, for pictures
DECADES = 1.0  # spanned by values from which on an axis is logarithmic
PLACE = (0.18, 0.12, 0.78, 0.84)  # of the axes in a figure: looking for the best one takes longer than all the rest


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
        yield
        self.free = time.monotonic() + (time.monotonic() - begin) / SHARE


class Tracker:
    """Writes to `folder`; what an earlier attempt wrote of update number `first` and later is hidden."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # seconds of import that only training pays

        self.writer = SummaryWriter(folder, purge_step=first if folder.exists() else None)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Record numbers after update `step`."""
        for name, value in values.items():
            if value is not None:
                self.writer.add_scalar(name, value, step)

    def pictures(self, step: int, prediction: np.ndarray, rows: Sequence[tuple[Any, ...]]) -> None:
        """Record a slice of each channel of `prediction` (C, *space) and the curves among the evaluation's rows."""
        self.writer.add_image("prediction", _slices(prediction), step, dataformats="HW")
        for figure_name, curves in _curves(rows).items():
            self.writer.add_figure(figure_name, _plot(figure_name, curves), step)

    def close(self) -> None:
        """Write out what is pending."""
        self.writer.close()


def _slices(field: np.ndarray) -> np.ndarray:
    """Middle slices of all channels side by side, scaled to 0..1 [float32 (H, W)]."""
    while field.ndim > 3:
        field = field[:, field.shape[1] // 2]
    field = field.reshape(len(field), field.shape[1] if field.ndim > 2 else 1, -1)
    low, high = float(np.min(field)), float(np.max(field))
    return np.concatenate([(f - low) / ((high - low) or 1.0) for f in field], axis=1).astype(np.float32)


def _curves(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Figure name (field/metric) -> source -> points."""
    figures: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for source, field, metric, x, value in rows:
        if x is not None:
            figures.setdefault(f"{field}/{metric}", {}).setdefault(source, []).append((x, value))
    return figures


def _plot(name: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5))
    axes = figure.add_axes(PLACE, ylabel=name)
    for source, points in curves.items():
        axes.plot(*zip(*points, strict=True), label=source)
    x, y = np.array([point for points in curves.values() for point in points]).T
    axes.set_xscale(_scale(x))
    axes.set_yscale(_scale(y))
    axes.legend()
    return figure


def _scale(values: np.ndarray) -> str:
    """Logarithmic where the values are positive and span decades."""
    low, high = float(values.min()), float(values.max())
    return "log" if low > 0 and high > low * 10**DECADES else "linear"
