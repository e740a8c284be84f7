"""What a trained experiment may be applied to: told by the config at the door, by headers once there is a catalogue."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .blending import admit
from .config import Config, Experiment
from .config.predictions import PART, Prediction
from .crops import Crops, per_axis, read_index
from .data.catalogue import Catalogue, Sample
from .data.parameters import TOLD, names_in
from .data.slices import Slices
from .errors import ConfigError, DataError
from .family import family_of
from .files import write_text
from .models import Geometry, geometry_of, known_geometry
from .wording import hint, shown

__all__ = ["admit_samples", "check", "check_draws", "fits", "refuse_own"]

COLUMNS = ("sample", "voxels", "cell", "trained_cell", "tile")  # cells in Mpc/h


# ---- at the door


def check(config: Config) -> None:
    """Refuse predictions that cannot be, as far as the config says; raises ConfigError naming the key."""
    for name, chosen in config.predictions.items():
        where = f"predictions.{name}"
        for key, known in (("experiment", config.experiments), ("dataset", config.datasets)):
            value = getattr(chosen, key)
            if value is not None and value not in known:
                raise ConfigError(f"{where}.{key}: unknown {key} {shown(value)}; {hint(value, known)}")
        _check_folds(config, chosen, where)
        _check_write(config, chosen, where)
        if chosen.dataset is not None:
            _check_dataset(config, chosen, f"{where}.dataset")
            check_draws(config.experiments[chosen.experiment], chosen.draws or 1, f"{where}.draws")


def check_draws(experiment: Experiment, draws: int, where: str) -> None:
    """Several predictions of a sample by a model of this package that takes noise; raises ConfigError."""
    name, geometry = dict(experiment.model)["name"], known_geometry(dict(experiment.model)) if draws > 1 else None
    if geometry is not None and not geometry.noise:
        text = f"{draws}, but model.name {shown(name)} takes no noise and predicts the same each time"
        raise ConfigError(f"{where}: {text}; expected 1, or a generator such as stylegan2_generator")


def _check_folds(config: Config, chosen: Prediction, where: str) -> None:
    folds = config.datasets[config.experiments[chosen.experiment].dataset].folds.held_out
    if unknown := set(chosen.folds or []) - set(folds):
        text = f"{min(unknown)}, of which there is no model"
        raise ConfigError(f"{where}.folds: {text}; expected some of {', '.join(map(str, folds))}")


def _check_write(config: Config, chosen: Prediction, where: str) -> None:
    experiment, write = config.experiments[chosen.experiment], chosen.write
    if write and family_of(experiment.task).tells:
        text = f"{write.kind} is of fields, but {shown(chosen.experiment)} tells labels"
        raise ConfigError(f"{where}.write: {text}; expected a dataset alone, which makes answers.csv")
    parts = config.datasets[experiment.dataset].parts("target")
    if write and write.path and write.kind == "npy" and (PART in write.path) != (parts != [""]):
        names = f"{PART} in it, for {', '.join(parts)}" if parts != [""] else f"no {PART}: the target is undivided"
        raise ConfigError(f"{where}.write.path: {shown(write.path)}; expected {names}")


def _check_dataset(config: Config, chosen: Prediction, where: str) -> None:
    """Other samples than those that train, of the same parts, with the numbers that styles need."""
    experiment = config.experiments[chosen.experiment]
    if chosen.dataset == experiment.dataset:
        text = f"{shown(chosen.dataset)} trained {shown(chosen.experiment)}"
        raise ConfigError(f"{where}: {text}; expected another, or no dataset for the samples that each fold holds out")
    parts = [config.datasets[str(name)].parts("input") for name in (chosen.dataset, experiment.dataset)]
    if parts[0] != parts[1]:
        found, expected = (", ".join(names) if names != [""] else "one without a name" for names in parts)
        raise ConfigError(f"{where}: the parts of its input are {found}; expected {expected}")
    new: Any = dict(config.datasets[str(chosen.dataset)].source)
    table = new.get("parameters")
    numbers = [*TOLD, *(names_in(table) if isinstance(table, str) else table or [])]
    if lacking := [style for style in experiment.styles if style not in numbers]:
        raise ConfigError(f"{where}: its samples have no number {lacking[0]!r}, a style; {hint(lacking[0], numbers)}")
    told = new.get("periodic")
    is_open = told is False or isinstance(told, list) and not all(told)
    if is_open and dict(experiment.model).get("padding") == "periodic":
        raise ConfigError(f"{where}: not periodic, but model.padding is; expected periodic boxes, or a model without")


def refuse_own(folder: str, files: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Refuse datasets that read what predictions write below `folder`: they would be overwritten; raises ConfigError.

    files: dataset -> (path, ...) of each of its files
    """
    places = [Path(folder), *Path(folder).glob("*"), *Path(folder).glob("*/files")]  # some may be links
    own = {place.resolve() for place in places}
    for name, found in files.items():
        for path, *_ in found:
            if own & {*Path(path).resolve().parents}:
                text = f"reads {shown(path)}, where predictions are written"
                raise ConfigError(f"datasets.{name}.source: {text}; expected files outside {folder}")


# ---- once there is a catalogue


def admit_samples(settings: Mapping[str, Any], files: Any, output: str, name: str) -> str:
    """Write a table of the samples to be predicted, beside what the model was trained on; returns a line about it.

    files: the catalogues `samples`, of these, and `catalogue`, of those, with their `crops`. Raises DataError or
    ConfigError for the first sample that does not fit.
    """
    new, trained = Catalogue.read(files.samples), Catalogue.read(files.catalogue)
    crops = read_index(files.crops, trained)
    try:
        rows = [fits(sample, trained, crops, settings) for sample in new]
    except (DataError, ConfigError) as error:
        raise type(error)(f"predictions.{name}: {error}") from None
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(output, stream.getvalue())
    return f"{len(rows)} samples"


def fits(sample: Sample, trained: Catalogue, crops: Crops | Slices, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The row of a sample; raises DataError where it is other than what the model was trained on."""
    first = trained.samples[0]
    _same_channels(sample, first)
    _known_numbers(sample, settings["styles"])
    if _nonfinite([sample]) and not _nonfinite(trained):
        raise DataError(f"sample {sample.id!r}: values that are not finite; the model was trained without any")
    near = _near_cell(sample, trained, settings["cell_tolerance"])
    geometry = geometry_of(settings["geometry"]["name"], settings["geometry"]["options"])
    sliced = isinstance(crops, Slices)
    tile = crops.over(sample).edges if sliced else _tile(sample, settings, geometry, crops)
    columns = sample.shape("input")[1:], [f"{n:g}" for n in _cell(sample)], [f"{n:g}" for n in near], tile
    return sample.id, *(" ".join(map(str, column)) for column in columns)


def _same_channels(sample: Sample, first: Sample) -> None:
    axes, expected = (len(s.shape("input")) - 1 for s in (sample, first))
    if axes != expected:
        raise DataError(f"sample {sample.id!r}: {axes} axes of space; the model was trained on {expected}")
    kinds, known = sample.quantities("input"), first.quantities("input")
    if kinds != known:
        raise DataError(f"sample {sample.id!r}: an input of {_told(kinds)}; the model was trained on {_told(known)}")


def _told(quantities: Iterable[tuple[str, int]]) -> str:
    return " + ".join(f"{channels} x {quantity}" for quantity, channels in quantities)


def _known_numbers(sample: Sample, styles: Iterable[str]) -> None:
    if lacking := [name for name in styles if name not in (*TOLD, *sample.parameters)]:
        raise DataError(f"sample {sample.id!r}: no number {lacking[0]!r}, which the model is told (styles)")


def _nonfinite(samples: Iterable[Sample]) -> bool:
    return any(part.nonfinite for sample in samples for part in sample.parts("input"))


def _near_cell(sample: Sample, trained: Catalogue, tolerance: float | None) -> tuple[float, ...]:
    """The voxel of the training samples [Mpc/h] that is nearest to this one."""
    cells = sorted({_cell(other) for other in trained})
    differences = [float(np.abs(np.divide(_cell(sample), cell) - 1).max()) for cell in cells]
    at = int(np.argmin(differences))
    if tolerance is not None and differences[at] > tolerance:
        found, known = (" x ".join(f"{n:.6g}" for n in cell) for cell in (_cell(sample), cells[at]))
        text = f"voxels of {found} Mpc/h; the model was trained on {known}"
        raise DataError(f"sample {sample.id!r}: {text}; give its box_size, or a larger cell_tolerance")
    return cells[at]


def _cell(sample: Sample) -> tuple[float, ...]:
    return tuple(length / n for length, n in zip(sample.box_size, sample.shape("input")[1:], strict=True))


def _tile(sample: Sample, settings: Mapping[str, Any], geometry: Geometry, crops: Crops) -> tuple[int, ...]:
    """Edges of the tiles of a sample [voxels]; raises ConfigError if the model cannot take them."""
    space = sample.shape("input")[1:]
    if geometry.padding == "periodic" and not sample.periodic:
        raise DataError(f"sample {sample.id!r}: not periodic, but the model is (model.padding)")
    size, overlap = (per_axis(settings[key], len(space), f"inference.{key}") for key in ("tile", "overlap"))
    tile = tuple(map(min, size, space))
    whole = tile == space and sample.periodic
    made = geometry.made(tile, whole, crops.shown(geometry, geometry.margin(whole)))
    geometry.admit(made, f"sample {sample.id!r}: inference.tile")
    shared = [n if edge < length else 0 for n, edge, length in zip(overlap, tile, space, strict=True)]
    admit(shared, tile, geometry, f"sample {sample.id!r}: inference.overlap")
    return tile
