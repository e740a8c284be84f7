"""The door: what can be refused before any job starts, though no key is wrong by itself: geometry, crops, folds.

Of simulated samples the size is known beforehand, of files it is not: their crops are checked against the model here
and against the fields when the catalogue is known.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from . import admission, registry
from .blending import admit
from .config import Config, Dataset, Experiment
from .config.keys import Folds, Training
from .config.slices import Slices
from .crops import Crops, index, per_axis
from .data import folds
from .data.naming import check_words
from .data.parameters import TOLD, names_in
from .data.slices import STREAMS
from .data.slices import index as lattice
from .data.transforms import transform
from .errors import ConfigError, DataError
from .family import family_of
from .models import Geometry, is_styled, known_geometry
from .stages import RUNNING, is_simulated
from .wording import hint, joined, shown

__all__ = ["check"]

Space = dict[str, tuple[int, ...]]  # field -> its edges [voxels]

LARGE = 2**20  # voxels
SEARCHED = "model", "optimizer", "schedule", "styles", "task", "training"
AFTER = "evaluation", "inference", "tracking"


@dataclass(frozen=True)
class Expected:
    """A sample that does not exist yet, as far as crops look at one."""

    id: str
    fields: dict[str, tuple[int, ...]]  # edges of each [voxels]
    around: tuple[bool, ...]

    @property
    def periodic(self) -> bool:
        """Whether the box goes on along all axes."""
        return all(self.around)

    def shape(self, field: str) -> tuple[int, ...]:
        """(channels, *space)."""
        return (1, *self.fields[field])


def check(config: Config) -> Config:
    """The config itself; raises ConfigError naming the key."""
    spaces = {name: _space(dataset, f"datasets.{name}") for name, dataset in config.datasets.items()}
    for name, dataset in config.datasets.items():
        tells = any(e.dataset == name and not family_of(e.task).needs_target for e in config.experiments.values())
        _check_folds(dataset, f"datasets.{name}", tells)
        _check_words(dataset, f"datasets.{name}.source")
        _check_told(dict(dataset.source), f"datasets.{name}.source")
    for name, experiment in config.experiments.items():
        with _named(config.origin(name)):
            _check_family(experiment, config.datasets[experiment.dataset])
            _check_training(experiment)
            _check_tracking(experiment)
            _check_styles(experiment, config.datasets[experiment.dataset])
            admission.check_draws(experiment, experiment.inference.draws, "inference.draws")
            _check_parts(experiment, config.datasets[experiment.dataset])
            _check_crops(experiment, config.datasets[experiment.dataset], spaces[experiment.dataset])
            _check_sizes(experiment, config.datasets[experiment.dataset], spaces[experiment.dataset])
    admission.check(config)
    for name, probes in config.probes.items():
        _check_search(config, name)
        for variant, experiment in probes:
            with _named(variant.origin):
                _check_family(experiment, config.datasets[experiment.dataset])
                _check_score(experiment, variant.values)
                _check_training(experiment)
                _check_styles(experiment, config.datasets[experiment.dataset])
                _check_crops(experiment, config.datasets[experiment.dataset], spaces[experiment.dataset])
                _check_sizes(experiment, config.datasets[experiment.dataset], spaces[experiment.dataset])
    return config


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{where}.{error}") from None


# ---- datasets


def _space(dataset: Dataset, where: str) -> Space | None:
    """Edges of input and target of a simulated dataset [voxels], None if only the files or the simulator know them."""
    source: Any = dataset.source
    if not is_simulated(dataset) or not registry.is_ours("shape", source["kind"]):
        return None
    options = registry.taken("shape", source["kind"], source, f"{where}.source")
    with _named(f"{where}.source"):
        edges = registry.load("shape", source["kind"])(**options)
    return edges if isinstance(edges, dict) else {"input": edges, "target": edges}


def _check_folds(dataset: Dataset, where: str, tells: bool) -> None:
    """Lists of sample ids: each sample in one fold, and of simulated samples each in a fold.

    tells: whether labels are learnt from it, which takes no target
    """
    lists, source = dataset.folds.given, dict(dataset.source)
    plain = dataset.folds.model_copy(update={"by": None}) == Folds()
    if not (dataset.has_target or plain or tells):
        raise ConfigError(f"{where}.folds: a dataset without targets has none; expected source.target, or no folds")
    if lists is None:
        return
    simulated = is_simulated(dataset) and isinstance(source.get("samples"), int)
    ids = [_id(i) for i in range(source["samples"])] if simulated else list(dict.fromkeys(chain(*lists)))
    with _named(where):
        folds.given(ids, lists)


def _check_words(dataset: Dataset, where: str) -> None:
    """Words that the names of cubes have."""
    source: Any = dataset.source
    if source["kind"] == "cubes":
        with _named(where):
            check_words(source)


def _id(number: int) -> str:
    return f"{number:04d}"


# ---- experiments


def _check_family(experiment: Experiment, dataset: Dataset) -> None:
    """Model, losses and measures of the kinds that the task takes, and what else it asks for."""
    task: Any = experiment.task
    family, chosen = family_of(task), experiment.model_dump(include={"model", "loss", "evaluation"})
    for key, value in chosen.items():
        entries = registry.entries(family.kinds[key])
        for one in value if isinstance(value, list) else [value]:
            if one["name"] not in entries:
                where = f"{key}{'.name' if key == 'model' else ''}"
                text = f"{one['name']!r} is not for task {task['name']!r}; expected one of {', '.join(entries)}"
                raise ConfigError(f"{where}: {text}")
    family.check(experiment, dataset)


def _check_training(experiment: Experiment) -> None:
    """What the keys of a training ask of each other, and of optimizer and schedule."""
    _check_processes(experiment.training)
    _check_weights(experiment.training)
    _check_precision(experiment.training)
    _check_steps(experiment)


def _check_processes(training: Training) -> None:
    """A part of each batch for each process, and no single GPU named for several."""
    processes = training.gpus * training.nodes
    if training.batch_size < processes:
        what = f"training.batch_size: {training.batch_size}, for {processes} processes (training.gpus x training.nodes)"
        raise ConfigError(f"{what}; expected at least {processes}")
    if processes > 1 and training.device.startswith("cuda:"):
        raise ConfigError(f"training.device: {training.device} for {processes} processes; expected auto, cuda or cpu")


def _check_weights(training: Training) -> None:
    """A file to begin with."""
    chosen: Any = training.initial_weights
    if chosen is not None and not Path(chosen.path).is_file():
        text = f"no such file {shown(chosen.path)}; expected a path from {Path.cwd()}"
        raise ConfigError(f"training.initial_weights: {text}")


def _check_tracking(experiment: Experiment) -> None:
    """Trackers whose packages are there: not all are dependencies."""
    for place, tracker in enumerate(map(dict, experiment.tracking)):
        if tracker["name"] == "wandb" and tracker["mode"] != "disabled" and not find_spec("wandb"):
            what = f"tracking.{place}: the package wandb is not installed"
            raise ConfigError(f"{what}; expected `pip install wandb` in this environment, or mode: disabled")


def _check_styles(experiment: Experiment, dataset: Dataset) -> None:
    """Styles for a styled model and for no other, out of what the samples have."""
    name, styles = dict(experiment.model)["name"], list(experiment.styles)
    if styles and not is_styled(name):
        raise ConfigError(f"styles: {', '.join(styles)}, but model.name {name!r} takes none; expected {_styled()}")
    if is_styled(name) and not styles:
        raise ConfigError(f"styles: none, but model.name {name!r} needs some, such as omega_m or growth")
    source: Any = dict(dataset.source)
    table = source.get("parameters")
    known = [*TOLD, *(names_in(table) if isinstance(table, str) else table or [])]
    if unknown := [style for style in styles if style not in known]:
        raise ConfigError(f"styles.{unknown[0]}: the samples have no such number; {hint(unknown[0], known)}")
    geometry = known_geometry(dict(experiment.model))
    if geometry is not None and geometry.styles:
        _check_plain(experiment, geometry)


def _check_plain(experiment: Experiment, geometry: Geometry) -> None:
    """Of a model whose styles have a meaning of their own, those alone, and as they are."""
    name, plain = dict(experiment.model)["name"], geometry.styles
    for style, numbers in experiment.styles.items():
        if style not in plain:
            raise ConfigError(f"styles.{style}: model.name {name!r} takes {' and '.join(plain)} alone")
        for key, value, expected in (("shift", numbers.shift, 0), ("spread", numbers.spread, 1)):
            if value not in (None, expected):
                text = f"{value}, but model.name {name!r} takes it as it is"
                raise ConfigError(f"styles.{style}.{key}: {text}; expected {expected}")
    needed = plain[: geometry.needs]
    if missing := [style for style in needed if style not in experiment.styles]:
        raise ConfigError(f"styles: no {missing[0]}, but model.name {name!r} needs {' and '.join(needed)}")


def _styled() -> str:
    return " or ".join(name for name in registry.entries("model") if is_styled(name))


def _check_precision(training: Training) -> None:
    """Overflow is looked for by half precision, which finds its scale so, and cannot be an anomaly as well."""
    if training.detect_anomaly and training.precision == "fp16":
        raise ConfigError("training.detect_anomaly: true, with precision fp16; expected float32 or bf16 to look for it")


def _check_steps(experiment: Experiment) -> None:
    """Optimizers that know what groups of theirs say, and scores for the schedules that watch them."""
    for where, kind, chosen in _chosen_steps(experiment):
        options = registry.find(kind, chosen["name"]).options
        decays = [i for i, group in enumerate(chosen.get("groups") or ()) if group["weight_decay"] is not None]
        if kind == "optimizer" and decays and "weight_decay" not in options:
            text = f"groups[{decays[0]}].weight_decay: {chosen['name']!r} knows none; expected match and lr"
            raise ConfigError(f"{where}.{text}")
        if kind == "schedule" and registry.is_ours(kind, chosen["name"]) and experiment.training.validation is None:
            if registry.load(kind, chosen["name"]).watches:
                text = f"{chosen['name']!r} watches scores, but training.validation is null; expected keys"
                raise ConfigError(f"{where}.name: {text}, or another schedule")


def _chosen_steps(experiment: Experiment) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where, kind and options of what makes the steps of the networks of an experiment."""
    task: Any = dict(experiment.task)
    for kind in ("optimizer", "schedule"):
        yield kind, kind, dict(getattr(experiment, kind))
        inner = registry.find("task", task["name"]).choices
        yield from ((f"task.{key}", kind, task[key]) for key, of in inner.items() if of == kind and task[key])


def _check_told(source: dict[str, Any], where: str) -> None:
    """Of files of fields, quantities and datasets of parts that there are."""
    if source["kind"] not in ("npy", "hdf5"):
        return
    fields = {side: source.get(side) for side in ("input", "target")} | dict(source.get("baselines") or {})
    parts = [(field, part) for field, given in fields.items() if isinstance(given, dict) for part in given]
    known = [*(field for field, given in fields.items() if given), *dict.fromkeys(part for _, part in parts)]
    for key in ("quantities", "datasets"):
        for name in source.get(key) or {}:
            if name not in known and tuple(name.split(".", 1)) not in parts:
                raise ConfigError(f"{joined(f'{where}.{key}', name)}: no such field or part; {hint(name, known)}")


def _check_parts(experiment: Experiment, dataset: Dataset) -> None:
    """A normalisation for each part of a field, where parts are named."""
    for side in ("input", "target"):
        named = {name for name in experiment.normalize.normals(side) if name}
        patterns = dict(dataset.source).get(side)
        known = set(patterns) if isinstance(patterns, dict) else set()
        if unknown := sorted(named - known):
            raise ConfigError(f"{joined(f'normalize.{side}', unknown[0])}: no such part; {hint(unknown[0], known)}")
        if named and (lacking := sorted(known - named)):
            raise ConfigError(f"{joined(f'normalize.{side}', lacking[0])}: missing; expected each part of the field")


def _check_crops(experiment: Experiment, dataset: Dataset, space: Space | None) -> None:
    """Crops that the model takes and that leave no gaps; of simulated samples, crops and tiles that fit."""
    crops = experiment.crops
    geometry = known_geometry(dict(experiment.model))
    if isinstance(crops, Slices):
        return _check_slices(experiment, crops, dataset, space, geometry)
    if geometry is None:
        return
    size = crops.size
    told: Any = dict(dataset.source).get("periodic")
    if geometry.padding == "periodic" and (told is False or isinstance(told, list) and not all(told)):
        raise ConfigError("model.padding: periodic, but the dataset is not; expected valid or zero")
    keys, known = crops.model_dump(), space
    if known is None:  # of files, one that any crop fits into
        del keys["start"], keys["stop"]
        axes = max((len(value) for value in keys.values() if isinstance(value, list)), default=1)
        known = {"input": (LARGE,) * axes}
    sample: Any = Expected(_id(0), known, (told is not False,) * len(known["input"]))
    made = Crops(index([sample], geometry=geometry, **keys))
    if any(map(any, made.beyond)) and (told is False or isinstance(told, list) and not all(told)):
        _check_outside(experiment)
    if space:
        _check_tile(experiment.inference.tile or size, space["input"], geometry, made)
    _check_overlap(experiment.inference.overlap, experiment.inference.tile or size, space, geometry)


def _check_outside(experiment: Experiment) -> None:
    """An input whose transform takes the zeros that are read beyond a box that is not periodic."""
    for part, normal in experiment.normalize.normals("input").items():
        names = [normal.transform] if isinstance(normal.transform, str) else normal.transform
        if all(registry.is_ours("transform", name) for name in names) and transform(names).outside(np.zeros(1)).any():
            where = f"{joined('normalize.input', part) if part else 'normalize.input'}.transform"
            text = f"{', '.join(names)}, but zeros lie around a box that is not periodic, which the model reads"
            raise ConfigError(f"{where}: {text}; expected one that takes zeros, as log1p, or model.padding: zero")


def _check_slices(
    experiment: Experiment, crops: Slices, dataset: Dataset, space: Space | None, geometry: Geometry | None
) -> None:
    """As many processes that read as there are lanes of samples, or a part; of simulated samples, slices that fit."""
    workers = experiment.training.workers
    if experiment.training.neighbourhood and workers and STREAMS[0] % workers:
        text = "expected 0, 1, 2 or 4, so that each reads samples of its own"
        raise ConfigError(f"training.workers: {workers}, with training.neighbourhood; {text}")
    if space:
        around = (dict(dataset.source).get("periodic") is not False,) * len(space["input"])
        sample: Any = Expected(_id(0), space, around)
        found = lattice([sample], **crops.model_dump())
        if geometry:
            geometry.admit(found["edges"].tolist(), "crops")


def _check_tile(tile: int | list[int], space: tuple[int, ...], geometry: Geometry, crops: Crops) -> None:
    tiles = (tile,) * len(space) if isinstance(tile, int) else tuple(tile)
    if len(tiles) != len(space):
        raise ConfigError(f"inference.tile: {len(tiles)} numbers for fields of {len(space)} axes; expected one an axis")
    edges = tuple(min(pair) for pair in zip(tiles, space, strict=True))
    whole = edges == space
    geometry.admit(geometry.made(edges, whole, crops.shown(geometry, geometry.margin(whole))), "inference.tile")


def _check_overlap(overlap: int | list[int], tile: int | list[int], space: Space | None, geometry: Geometry) -> None:
    """At most half a tile; how many axes there are may not be known yet."""
    known = space["input"] if space else ()
    dims = len(known) or max(len(edges) if isinstance(edges, list) else 1 for edges in (overlap, tile))
    admit(per_axis(overlap, dims, "inference.overlap"), per_axis(tile, dims, "inference.tile"), geometry)


def _check_sizes(experiment: Experiment, dataset: Dataset, space: Space | None) -> None:
    """What the task asks of crops and of what is made of them."""
    family_of(experiment.task).check_sizes(experiment, dataset, space)


# ---- searches


def _check_search(config: Config, name: str) -> None:
    """A fold that there is, and keys that change neither what the stages before make nor what the score means."""
    ablation = config.ablations[name]
    count = config.datasets[config.experiments[ablation.of].dataset].folds.number
    if (fold := ablation.search.fold) >= count:  # type: ignore[union-attr]
        raise ConfigError(f"ablations.{name}.search.fold: {fold} of {count} folds; expected 0 to {count - 1}")
    for key in ablation.draw or {}:
        if text := _unsearchable(key, family_of(config.experiments[ablation.of].task).judging):
            expected = f"{', '.join(SEARCHED[:-1])} or {SEARCHED[-1]}"
            raise ConfigError(f"{joined('ablations', name, 'draw', key)}: {text}; expected a key of {expected}")


def _unsearchable(key: str, judging: Collection[str]) -> str:
    """Why a search cannot choose a key, empty if it can; judging: options of the task that decide what a score is."""
    section, _, inner = key.partition(".")
    if section == "loss":
        return "trials are compared by their loss, so it cannot differ; vary it instead"
    if section in AFTER:
        return "changes no score of a trial; vary it instead"
    if section not in SEARCHED:
        return "trials share what the stages before training make; vary it instead"
    if section == "task" and inner.partition(".")[0] in ("", "name", *judging):
        return "decides what the scores of trials are of; vary it instead"
    if not inner and section == "training" or inner.split(".")[0] in ("validation", "seed"):
        return "decides on which samples trials are compared"
    return "changes no result" if section == "training" and inner in RUNNING else ""


def _check_score(experiment: Experiment, values: Mapping[str, Any]) -> None:
    """Scores that trials can be compared by; values: what the search drew."""
    validation, epochs = experiment.training.validation, experiment.training.epochs
    if validation is None:
        raise ConfigError("training.validation: null, but a search compares validation scores; expected keys")
    if validation.every > epochs:
        raise ConfigError(f"training.validation.every: {validation.every}, but {epochs} epochs; at most {epochs}")
    family_of(experiment.task).check_search(experiment, values)
