"""What the network looks at."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data import predictions
from ...registry import register
from .. import style
from ..results import ExperimentResults

__all__ = ["saliency"]

PERCENTILES = (95, 99)
AXES = "xyz"


@register("label_figure", "saliency")
def saliency(results: ExperimentResults) -> Figure:
    """Slices of a held-out sample, |d answer / d input| where it is above 95 and 99 % of its values, its sum."""
    found = ((fold, predictions.beside(path)) for fold, path in results.predictions.items())
    fold, kept = next(((fold, kept) for fold, kept in found if kept), (0, {}))
    if not kept:
        return style.blank("No saliency was kept (inference.saliency).")
    name, arrays = next(iter(kept.items()))
    inputs, maps = (_planes(arrays[key]) for key in ("inputs", "maps"))
    cube = arrays.get("cube")
    count, rows = len(inputs), 3 if cube is None else 4
    figure = Figure(figsize=(2.7 * max(count, 2) + 0.4, 2.55 * rows + 0.5), layout="constrained")
    text = f"Sample {name}, held out in fold {fold}"
    figure.suptitle(style.plain(text), x=0.01, ha="left", fontsize=10, weight="bold")
    panels = figure.subplots(rows, count, squeeze=False)
    for place, (image, slope) in enumerate(zip(inputs, maps, strict=True)):
        _column(panels[:3, place], image, slope, _title(arrays["places"][place]))
    if cube is not None:
        for axis, panel in enumerate(panels[3]):
            _image(panel, cube.mean(axis=axis % cube.ndim), "magma", f"cube, mean along {AXES[axis % cube.ndim]}")
    for row, word in zip(panels, ("input", "saliency", "above 95 and 99 %", "saliency of all slices"), strict=False):
        row[0].set_ylabel(word)
    return figure


def _column(panels: np.ndarray, image: np.ndarray, slope: np.ndarray, title: str) -> None:
    limit = float(np.percentile(np.abs(image), 99.7)) or 1.0
    _image(panels[0], image, "RdBu_r", title, (-limit, limit))
    _image(panels[1], slope, "magma", "", (0.0, float(np.percentile(slope, 99.7)) or 1.0))
    low, high = np.percentile(slope, PERCENTILES)
    _image(panels[2], image, "Greys", "", (-2 * limit, 2 * limit))
    mask = np.where(slope > high, 2.0, np.where(slope > low, 1.0, np.nan))
    _image(panels[2], mask, "autumn_r", "", (0.0, 2.0))


def _image(axes: Axes, image: np.ndarray, colors: str, title: str, limits: tuple[float, float] | None = None) -> None:
    low, high = limits or (None, None)
    axes.imshow(image.T, origin="lower", cmap=colors, vmin=low, vmax=high, interpolation="none")
    axes.set_title(title, fontsize=9) if title else None
    axes.set_xticks([])
    axes.set_yticks([])


def _planes(images: np.ndarray) -> np.ndarray:
    """The middle planes of images that have three axes, (count, n, m)."""
    return images[..., images.shape[-1] // 2] if images.ndim == 4 else images


def _title(place: np.ndarray) -> str:
    axis, start = int(place[0]), int(place[1])
    return f"slice {start} along {AXES[axis]}" if axis >= 0 else "the whole"
