"""From YAML files to a checked config: layers, sections, then names of code and their options, then ablations."""

import copy
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import registry, yamlfile
from ..errors import ConfigError
from ..family import family_of
from ..wording import complaint, hint, joined, shown
from .ablations import made_by, probes_of, raw_of
from .choices import Choice, choices_of
from .keys import Config, Dataset, Experiment, Folds, Normal, Variant

__all__ = ["load", "parse", "trial_of", "varied"]

TABLES = ("datasets", "experiments", "ablations", "predictions")


def load(paths: Iterable[str | Path], default: str | Path | None = None, overrides: Mapping | None = None) -> Config:
    """The config of the files laid over each other in order, then `overrides`; raises ConfigError.

    A first file that is complete by itself (all its experiments and their datasets are in it) is used alone;
    otherwise it is laid over `default`. In a later layer, null removes a dataset, an experiment or an ablation.
    """
    layers = [yamlfile.read(path) for path in paths]
    if default is not None and not (layers and _complete(layers[0])):
        layers.insert(0, yamlfile.read(default))
    raw: dict = {}
    for layer in [*layers, yamlfile.plain(dict(overrides or {}))]:
        _check_removals(raw, layer)
        raw = _without_nulls(yamlfile.lay_over(raw, layer))
    return parse(raw)


def parse(raw: Mapping) -> Config:
    """Check a config given as plain dicts and fill in every default; raises ConfigError."""
    plugins = raw.get("plugins", [])
    registry.use_plugins(plugins if isinstance(plugins, list) and all(isinstance(p, str) for p in plugins) else [])
    config = _frame(Config, copy.deepcopy(dict(raw)), "")
    datasets = {name: _dataset(d, f"datasets.{name}") for name, d in config.datasets.items()}
    experiments = {name: _experiment(e, f"experiments.{name}", datasets) for name, e in config.experiments.items()}
    variants = made_by(config.ablations, experiments)
    experiments |= {name: varied(experiments[v.of], v, datasets) for name, v in variants.items()}
    tried = {name: probes_of(name, ablation) for name, ablation in config.ablations.items()}
    probes = {name: [(v, varied(experiments[v.of], v, datasets)) for v in vs] for name, vs in tried.items() if vs}
    report = _resolved(config.report, "report")
    config = config.model_copy(update={"datasets": datasets, "experiments": experiments, "report": report})
    config._variants, config._probes = variants, probes
    return config


# ---- layers


def _complete(raw: Mapping) -> bool:
    datasets, experiments = raw.get("datasets"), raw.get("experiments")
    if not isinstance(datasets, Mapping) or not isinstance(experiments, Mapping) or not experiments:
        return False
    return all(isinstance(e, Mapping) and e.get("dataset") in list(datasets) for e in experiments.values())


def _check_removals(raw: Mapping, layer: Mapping) -> None:
    for table, items in _tables(layer).items():
        for name in [name for name, item in items.items() if item is None]:
            if name not in (known := raw.get(table) or {}):
                raise ConfigError(f"{joined(table, name)}: null removes what an earlier file has; {hint(name, known)}")


def _without_nulls(raw: Mapping) -> dict:
    emptied = {k: {name: item for name, item in v.items() if item is not None} for k, v in _tables(raw).items()}
    return {**raw, **emptied}


def _tables(raw: Mapping) -> dict[str, Mapping]:
    return {key: raw[key] for key in TABLES if isinstance(raw.get(key), Mapping)}


# ---- the frame: sections and their keys


def _frame(section: type[Any], raw: Any, where: str) -> Any:
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(complaint(error, section.model_json_schema(), raw, where)) from None


# ---- the choices: names of code and their options


def _resolved(section: Any, where: str) -> Any:
    """The section with every choice looked up and completed by its defaults."""
    chosen = [(name, choice) for name, choice in choices_of(type(section)) if getattr(section, name) is not None]
    updates = {name: choice.resolve(getattr(section, name), f"{where}.{name}") for name, choice in chosen}
    return section.model_copy(update=updates)


def _dataset(dataset: Dataset, where: str) -> Dataset:
    dataset = _resolved(dataset, where)
    samples = dataset.source.get("samples")  # type: ignore[union-attr]
    if isinstance(samples, int) and samples < dataset.folds.number:
        text = f"{dataset.folds.number} folds but {samples} samples; expected at most {samples}"
        raise ConfigError(f"{where}.folds: {text}")
    return dataset.model_copy(update={"folds": _together(dataset, f"{where}.folds.by")})


def _together(dataset: Dataset, where: str) -> Folds:
    """The folds, which keep groups together where the source has them: their members are no independent samples."""
    group = dataset.source.get("group")  # type: ignore[union-attr]
    if group and dataset.folds.by == "sample":
        text = f"sample, but source.group is {group!r}, whose members belong together; expected group"
        raise ConfigError(f"{where}: {text}")
    return dataset.folds.model_copy(update={"by": dataset.folds.by or ("group" if group else "sample")})


def _experiment(experiment: Experiment, where: str, datasets: Collection[str]) -> Experiment:
    if experiment.dataset not in datasets:
        hinted = hint(experiment.dataset, datasets)
        raise ConfigError(f"{where}.dataset: unknown dataset {shown(experiment.dataset)}; {hinted}")
    defaults = family_of(experiment.task).defaults(experiment.task)
    others = {key: value for key, value in defaults.items() if key not in experiment.model_fields_set}
    experiment = experiment.model_copy(update=others)
    sides = {side: _normalized(value, f"{where}.normalize.{side}") for side, value in experiment.normalize}
    experiment = experiment.model_copy(update={"normalize": experiment.normalize.model_copy(update=sides)})
    return _resolved(experiment, where)


def _normalized(value: Any, where: str) -> Normal | dict[str, Normal]:
    """The normalisation of a field, or of each of its parts."""
    if not isinstance(value, dict):
        return _normal(value, where)
    for name in value:
        if (hinted := hint(name, Normal.model_fields)).startswith("did"):  # no part is meant
            raise ConfigError(f"{joined(where, name)}: this section has no such key; {hinted}")
    return {name: _normal(part, joined(where, name)) for name, part in sorted(value.items())}


def _normal(value: str | Normal, where: str) -> Normal:
    if isinstance(value, str):
        return Normal(**{Choice("scaling", "transform").kind_of(value, where): value})
    names = [value.transform] if isinstance(value.transform, str) else value.transform
    for name in names:
        registry.find("transform", name, f"{where}.transform")
    scaling = Choice("scaling").resolve(value.scaling, f"{where}.scaling")
    plain = scaling == Choice("scaling").resolve(scaling["name"], where)  # as if it were named alone
    return Normal(transform=names[0] if len(names) == 1 else names, scaling=scaling["name"] if plain else scaling)


def varied(base: Experiment, variant: Variant, datasets: Collection[str]) -> Experiment:
    """The experiment that a variant makes of its base, checked like any other; raises ConfigError."""
    raw = raw_of(base, variant)
    return _experiment(_frame(Experiment, raw, variant.origin), variant.origin, datasets)


def trial_of(base: Mapping[str, Any], of: str, ablation: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of experiment `of` with the values that a search drew, checked again; raises ConfigError.

    base: the settings of the experiment, complete
    """
    variant = Variant(of=of, ablation=ablation, values=dict(values), key="draw")
    return varied(Experiment.model_validate(base), variant, [base["dataset"]]).model_dump()
