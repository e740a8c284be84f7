"""Pictures of a training: slices of a whole validation sample, and curves of what its prediction is worth."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Rows", "drawn"]

Rows = Sequence[tuple[Any, ...]]  # source, field, metric, x or None, value
Curves = dict[str, dict[str, list[tuple[float, float]]]]  # figure -> curve -> points

DECADES = 1.0  # spanned by values from which on an axis is logarithmic
PLACE = (0.18, 0.12, 0.78, 0.84)  # of the axes in a figure: looking for the best one takes longer than all the rest
CHANNELS = 6  # that are drawn of a field
EDGE = 512  # most pixels of a slice along an axis
HIDDEN = ("modes",)
OVER_K = ("power", "transfer", "correlation", "stochasticity", "divergence", "fraction")  # end what spectra tell
TRUTH = "_truth"  # ends the name of a metric that is of the target, and drawn beside the one of the prediction


def drawn(fields: Mapping[str, np.ndarray], rows: Rows) -> dict[str, np.ndarray]:
    """Picture name -> (height, width, 3) uint8: `slices` of all fields (C, *space), and field/metric of the rows.

    Whatever is not finite is left out; between prediction and target of one shape the residual is drawn as well.
    """
    figures = {name: _plot(name, curves) for name, curves in _curves(rows).items()}
    return {name: _pixels(figure) for name, figure in {"slices": _slices(fields), **figures}.items()}


def _pixels(figure: Any) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


# ---- slices


def _slices(fields: Mapping[str, np.ndarray]) -> Any:
    """A column a field, a row a channel; target and prediction share their colours."""
    from matplotlib.figure import Figure

    middles = {name: _middle(np.asarray(field)) for name, field in fields.items()}
    middles |= _residual(middles)
    rows = min(CHANNELS, max(len(field) for field in middles.values()))
    figure = Figure(figsize=(2.4 * len(middles), 2.5 * rows + 0.3), dpi=80)
    panels = figure.subplots(rows, len(middles), squeeze=False)
    for column, (name, channels) in zip(panels.T, middles.items(), strict=True):
        column[0].set_title(name, fontsize=9)
        for channel, axes in enumerate(column):
            if channel < len(channels):
                _panel(axes, channels[channel], _range(name, middles, channel), name == "residual")
            else:
                axes.set_axis_off()
    figure.subplots_adjust(0.02, 0.25 / (2.5 * rows + 0.3), 0.98, 1 - 0.3 / (2.5 * rows + 0.3), 0.05, 0.12)
    return figure


def _middle(field: np.ndarray) -> np.ndarray:
    """The middle slice of each channel of (C, *space), as (C, n) or (C, n, m) of few pixels."""
    while field.ndim > 3:
        field = field[:, field.shape[1] // 2]
    field = field if field.ndim > 1 else field[:, None]
    return field[(slice(None), *(slice(None, None, -(-n // EDGE)) for n in field.shape[1:]))]


def _residual(middles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    target, prediction = (middles.get(name) for name in ("target", "prediction"))
    if target is None or prediction is None or target.shape != prediction.shape:
        return {}
    with np.errstate(all="ignore"):
        return {"residual": prediction - target}


def _range(name: str, middles: Mapping[str, np.ndarray], channel: int) -> tuple[float, float]:
    """Least and largest value of the colours; around zero for a residual."""
    shared = [n for n in ("target", "prediction") if n in middles] if name in ("target", "prediction") else [name]
    values = [middles[n][channel] for n in shared if channel < len(middles[n])]
    low, high = _bounds(np.concatenate([v.ravel() for v in values]))
    return (-max(-low, high), max(-low, high)) if name == "residual" else (low, high)


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Least and largest of the finite values, never the same."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return (low, high) if high > low else (low - (abs(low) or 1.0), high + (abs(high) or 1.0))


def _panel(axes: Any, values: np.ndarray, limits: tuple[float, float], signed: bool) -> None:
    """One slice, and below it what its darkest and brightest colours are."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{limits[0]:.3g} to {limits[1]:.3g}", fontsize=8, labelpad=2)
    if values.ndim == 1:
        axes.plot(values, linewidth=0.8)
        axes.set_ylim(*limits)
    else:
        colours = "RdBu_r" if signed else "viridis"
        axes.imshow(values, vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest")


# ---- curves


def _curves(rows: Rows) -> Curves:
    """What is measured over x, of finite numbers alone."""
    figures: Curves = {}
    for source, field, metric, x, value in rows:
        if x is None or metric in HIDDEN or not np.isfinite([x, value]).all():
            continue
        name, curve = (metric.removesuffix(TRUTH), "target") if metric.endswith(TRUTH) else (metric, source)
        figures.setdefault(f"{field}/{name}", {}).setdefault(curve, []).append((x, value))
    return {name: {curve: sorted(set(points)) for curve, points in curves.items()} for name, curves in figures.items()}


def _plot(name: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), dpi=80)
    axes = figure.add_axes(PLACE, ylabel=name, xlabel="k [h/Mpc]" if name.endswith(OVER_K) else "")
    for curve, points in curves.items():
        style = {"color": "black", "linestyle": "--"} if curve == "target" else {}
        axes.plot(*zip(*points, strict=True), label=curve, **style)
    x, y = zip(*(point for points in curves.values() for point in points), strict=True)
    axes.set_xscale(_scale(x))
    axes.set_yscale(_scale(y))
    axes.legend(fontsize=8)
    return figure


def _scale(values: Iterable[float]) -> str:
    """Logarithmic where the values are positive and span decades."""
    low, high = min(values), max(values)
    return "log" if low > 0 and high > low * 10**DECADES else "linear"
