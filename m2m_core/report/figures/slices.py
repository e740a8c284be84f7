"""What a predicted sample looks like beside the truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data.catalogue import Sample
from ...options import Index
from ...physics.assignment import density
from ...registry import register
from .. import labels, style
from ..results import ExperimentResults

__all__ = ["slices"]

PIXELS = 256  # an edge of a panel; finer images are averaged
PARTICLES = 256**3  # more are not painted for a picture
SLAB = 16  # a density is averaged over 1/16 of the box
EMPTIEST = 0.1  # 1 + delta below which a cell of a slab counts as empty


@dataclass(frozen=True)
class Strip:
    """A row of the figure: images (nx, ny) of input, target and emulator, in one unit and one scale."""

    images: Mapping[str, np.ndarray]
    text: str
    label: str
    unit: str
    colors: str
    alike: bool  # the input is of the same quantity as the target
    signed: bool


@register("figure", "slices")
def slices(results: ExperimentResults, *, component: Index = 0) -> Figure:
    """Slices through a held-out sample: input, target, prediction, and the residual prediction − target.

    Options:
        component: of a vector field, which one is shown
    """
    chosen = next(((k, sample) for k in results.predictions for sample in results.catalogue.held_out(k)), None)
    if chosen is None:
        return style.blank("There is no prediction to show.")
    if results.dims not in (2, 3):
        return style.blank("There is no slice to show: the fields have neither two nor three dimensions.")
    fold, sample = chosen
    strips = [_component(results, sample, fold, component)]
    if _paintable(sample):
        strips.append(_density(results, sample, fold))
    return _figure(sample, fold, strips)


# ---- what is shown


def _component(results: ExperimentResults, sample: Sample, fold: int, component: int) -> Strip:
    quantity, channels = sample.quantities("target")[0]
    channel = component % channels
    alike = sample.quantities("input")[0][0] == quantity
    images = {name: _plane(results.region, sample, name, channel if alike else 0) for name in ("input", "target")}
    images["emulator"] = _plane(lambda s, _, region: results.prediction(fold, s.id, region), sample, "target", channel)
    name = "xyz"[channel] if quantity != "scalar" else str(channel) if channels > 1 else ""
    unit = f"  [{style.unit(results.unit)}]" if results.unit else ""
    what = results.fields[0] if quantity == "scalar" and results.fields else quantity
    text = f"{labels.field_name(what)}{f' component {name}' if name else ''}{_depth(sample)}"
    signed = quantity != "scalar" or float(images["target"].min()) < 0
    return Strip(
        images,
        text,
        _symbol(quantity, name) or style.plain(labels.field_name(what)),
        unit,
        "RdBu_r" if signed else "viridis",
        alike,
        signed,
    )


def _plane(read: Callable[..., np.ndarray], sample: Sample, name: str, channel: int) -> np.ndarray:
    """One channel of a field in the middle of the last of three axes, (nx, ny)."""
    space = sample.shape(name)[1:]
    middle = (slice(space[2] // 2, space[2] // 2 + 1),) if len(space) == 3 else ()
    image = read(sample, name, (slice(channel, channel + 1), slice(None), slice(None), *middle))
    return _coarse(image.reshape(space[:2]))


def _density(results: ExperimentResults, sample: Sample, fold: int) -> Strip:
    """log10(1 + delta) of the displaced particles, averaged over a slab."""
    images = {
        name: _slab(results.region(sample, name, ()), sample)
        for name in ("input", "target")
        if _displaced(sample, name)
    }
    images["emulator"] = _slab(results.prediction(fold, sample.id), sample)
    count = sample.shape("target")[-1]
    thick = f", slab of {max(1, count // SLAB) * sample.box_size[-1] / count:.3g} Mpc/h" if results.dims == 3 else ""
    return Strip(
        images, f"density of the displaced particles{thick}", r"$\log_{10}(1+\delta)$", "", "magma", True, False
    )


def _slab(field: np.ndarray, sample: Sample) -> np.ndarray:
    mass = density(field[: len(sample.box_size)].astype(np.float32), sample.box_size, shift=-0.5) + 1
    if mass.ndim == 3:
        middle, half = mass.shape[2] // 2, max(1, mass.shape[2] // SLAB)
        mass = mass[:, :, middle : middle + half].mean(axis=2)
    return _coarse(np.log10(np.maximum(mass, EMPTIEST)))


def _paintable(sample: Sample) -> bool:
    return _displaced(sample, "target") and sample.periodic and prod(sample.shape("target")[1:]) <= PARTICLES


def _displaced(sample: Sample, name: str) -> bool:
    return sample.quantities(name)[0] == ("displacement", len(sample.box_size))


def _coarse(image: np.ndarray) -> np.ndarray:
    """Means of blocks, so that no edge is longer than PIXELS."""
    step = -(-max(image.shape) // PIXELS)
    nx, ny = (n // step for n in image.shape)
    return image[: nx * step, : ny * step].reshape(nx, step, ny, step).mean(axis=(1, 3))


def _depth(sample: Sample) -> str:
    return f", z = {sample.box_size[2] / 2:.4g} Mpc/h" if len(sample.box_size) == 3 else ""


def _symbol(quantity: str, name: str) -> str:
    symbol = {"displacement": r"\psi", "vector": "v"}.get(quantity)
    return rf"${symbol}_{name}$" if symbol else ""


# ---- how it is shown


def _figure(sample: Sample, fold: int, strips: list[Strip]) -> Figure:
    aspect = sample.box_size[1] / sample.box_size[0]
    figure = Figure(figsize=(9.3, len(strips) * (2.3 * min(aspect, 2.0) + 1.2) + 0.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.07, hspace=0.03, wspace=0.02)
    figure.suptitle(
        style.plain(f"Sample {sample.id}, held out in fold {fold}"), x=0.01, ha="left", fontsize=10, weight="bold"
    )
    rows = figure.subfigures(len(strips), 1, squeeze=False)[:, 0]
    for row, strip in zip(rows, strips, strict=True):
        _strip(row, strip, sample.box_size)
    return figure


def _strip(figure: Figure, strip: Strip, box: tuple[float, ...]) -> None:
    figure.suptitle(style.plain(labels.capital(strip.text)), x=0.01, ha="left", fontsize=9, color=style.FAINT)
    axes = dict(zip(("input", "target", "emulator", "residual"), figure.subplots(1, 4), strict=True))
    low, high = _limits([image for name, image in strip.images.items() if name != "input" or strip.alike], strip.signed)
    for name, image in strip.images.items():
        own = name == "input" and not strip.alike
        limits = _limits([image], False) if own else (low, high)
        _image(axes[name], image, box, "viridis" if own else strip.colors, limits)
    residual = strip.images["emulator"] - strip.images["target"]
    _image(axes["residual"], residual, box, "PuOr_r", _limits([residual], True))
    _bars(figure, axes, strip)
    _label(axes, box)


def _image(axes: Axes, image: np.ndarray, box: tuple[float, ...], colors: str, limits: tuple[float, float]) -> None:
    extent = (0.0, float(box[0]), 0.0, float(box[1]))
    axes.imshow(
        image.T, origin="lower", extent=extent, cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="none"
    )


def _limits(images: list[np.ndarray], signed: bool) -> tuple[float, float]:
    """The range of all but the most extreme values; about zero if signed."""
    values = np.concatenate([image.ravel() for image in images])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = np.percentile(values, [0.3, 99.7])
    size = max(abs(low), abs(high), 1e-30)
    return (-size, size) if signed else (low, max(high, low + 1e-30))


def _bars(figure: Figure, axes: Mapping[str, Axes], strip: Strip) -> None:
    """A colour bar under the panels that share a scale, and one under each other panel."""
    shared = [
        name for name in ("input", "target", "emulator") if name in strip.images and (strip.alike or name != "input")
    ]
    _bar(figure, [axes[name] for name in shared], strip.label + strip.unit)
    _bar(figure, [axes["residual"]], "emulator − target" + strip.unit)
    if not strip.alike:
        _bar(figure, [axes["input"]], "input")


def _bar(figure: Figure, panels: list[Axes], text: str) -> None:
    alone = len(panels) == 1
    bar = figure.colorbar(
        panels[0].images[0], ax=panels, location="bottom", fraction=0.06, pad=0.03,
        aspect=24 if alone else 18 * len(panels) + 6, shrink=0.92 if alone else 0.6,
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.locator = style.few_ticks(4 if alone else 6)
    bar.set_label(text, fontsize=8.5)


def _label(axes: Mapping[str, Axes], box: tuple[float, ...]) -> None:
    for i, (name, panel) in enumerate(axes.items()):
        panel.set_title(name, fontsize=9.5, weight="bold" if name == "emulator" else "normal", loc="center", pad=4)
        panel.tick_params(length=2, labelsize=8, labelleft=i == 0)
        panel.set_xlabel(r"$x$  [Mpc/$h$]", fontsize=8.5)
        if not panel.images:
            panel.set_axis_off()
    axes["input"].set_ylabel(r"$y$  [Mpc/$h$]", fontsize=8.5)
