"""The configuration: read strictly, frozen, closed. An error names the key, what was expected and the nearest name.

Nothing here imports torch. `Config.experiments` holds the ablations' variants as well, each a full experiment.
"""

import copy
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from . import registry, yamlfile
from .errors import ConfigError
from .options import Count, Fraction, Index, Name, Positive, Probability, Seed
from .registry import STRICT

__all__ = ["Ablation", "Choice", "Config", "Dataset", "Experiment", "Section", "Variant", "load", "parse"]


class Choice:
    """Marks a field that names code of one of `kinds`: `vnet`, or `{name: vnet, width: 8}`; or a list of these."""

    def __init__(self, *kinds: str, key: str = "name") -> None:
        self.kinds, self.key = kinds, key

    def resolve(self, value: Any, where: str) -> Any:
        """The chosen name with all its options; raises ConfigError."""
        if isinstance(value, list):
            return [self.resolve(item, f"{where}[{i}]") for i, item in enumerate(value)]
        options = {self.key: value} if isinstance(value, str) else dict(value)
        name = options.pop(self.key, None)
        kind = self.kind_of(name, f"{where}.{self.key}" if isinstance(value, dict) else where)
        return {self.key: name, **registry.check(kind, name, options, where)}

    def kind_of(self, name: Any, where: str) -> str:
        """Which kind has an entry of this name; raises ConfigError with the nearest one."""
        known = {entry: kind for kind in self.kinds for entry in registry.entries(kind)}
        if name is None:
            raise ConfigError(f"{where}: required; {registry.hint('', known)}")
        if not isinstance(name, str) or name not in known:
            raise ConfigError(f"{where}: unknown {self.kinds[0]} {name!r}; {registry.hint(name, known)}")
        return known[name]

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict:
        return {**handler(core), "x-choice": {"kinds": list(self.kinds), "key": self.key}}


SIDES = ("input", "target")
Chosen = str | dict[str, Any]
Size = Count | list[Count]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")]


class Section(BaseModel):
    """A closed, frozen, strictly typed part of the config."""

    model_config = STRICT


class Folds(Section):
    """How samples are divided: each fold is held out once, the others train."""

    count: Annotated[int, Field(ge=2, le=1000)] | None = Field(None, description="number of folds; 3 unless `given`")
    by: Literal["sample", "group"] = Field("sample", description="what stays together in one fold")
    seed: Seed = Field(0, description="decides which sample falls into which fold")
    given: list[list[str]] | None = Field(None, description="the sample ids of each fold, instead of `count` and `seed`")
    run: list[Index] | None = Field(None, description="the folds to hold out and train for; all unless given")

    @model_validator(mode="after")
    def _agree(self) -> "Folds":
        if self.given is not None and self.count not in (None, len(self.given)):
            raise ValueError(f"count is {self.count} but {len(self.given)} folds are given")
        if self.given is not None and len(self.given) < 2:
            raise ValueError("at least 2 folds have to be given")
        if self.run is not None and (not self.run or len(set(self.run)) < len(self.run) or max(self.run) >= self.number):
            raise ValueError(f"run has to list different folds out of 0..{self.number - 1}, got {self.run}")
        return self

    @property
    def number(self) -> int:
        """How many folds there are."""
        return len(self.given) if self.given is not None else self.count or 3

    @property
    def held_out(self) -> list[int]:
        """The folds that are held out in turn."""
        return sorted(self.run) if self.run is not None else list(range(self.number))


class Dataset(Section):
    """What the data are and how they are split."""

    source: Annotated[Chosen, Choice("source", "simulation", key="kind")] = Field(
        description="where the fields come from: a simulator or files"
    )
    folds: Folds = Field(Folds(), description="how the samples are split")
    on_nonfinite: Literal["refuse", "mask"] = Field(
        "refuse", description="what to do with NaN and infinite values: stop, or leave those voxels out"
    )
    verify: Literal["size", "full"] = Field(
        "size", description="what each stage checks of a file against the catalogue: its size, or its sha256 as well"
    )


class Normal(Section):
    """How a field is made dimensionless: a pointwise transform, then a scaling of each channel."""

    transform: str = Field("identity", description="pointwise, with an exact inverse")
    scaling: str = Field("identity", description="shift and spread of each channel")


class Normalize(Section):
    """The normalisation of input and target: a name, or a transform and a scaling."""

    input: str | Normal = Field("standardise", description="of the input field")
    target: str | Normal = Field("standardise", description="of the target field")


class Crops(Section):
    """The crops that a field is cut into; the halo is computed from the model."""

    size: Size = Field(description="edge of a crop [voxels], one number or one an axis")
    step: Size | None = Field(None, description="distance between crops [voxels]; the size unless given")


class Validation(Section):
    """Samples of the training folds on which the model is chosen; the held-out fold is never looked at."""

    fraction: Fraction = Field(0.1, description="part of the training samples that is kept for validation, at least one")
    every: Count = Field(1, description="measure after so many epochs [epochs]")
    patience: Count | None = Field(None, description="stop after so many measurements without a better one")


class Training(Section):
    """The training loop."""

    epochs: Count = Field(30, description="passes over the training crops")
    batch_size: Count = Field(4, description="crops a step")
    precision: Literal["float32", "bf16"] = Field("float32", description="arithmetic of the network")
    augment: list[Literal["flip", "permute", "shift"]] = Field(
        [], description="random symmetries of the cube and periodic shifts of the crop"
    )
    clip: Positive | None = Field(None, description="largest norm of the gradient")
    ema: Probability | None = Field(None, description="decay of the moving average of the weights that is kept as the model")
    validation: Validation | None = Field(Validation(), description="how the best model is chosen; null keeps the last")
    seed: Seed = Field(0, description="initial weights, order of crops, augmentation")
    save_steps: Count | None = Field(None, description="checkpoint after so many steps [steps]")
    save_minutes: Positive = Field(5.0, description="checkpoint after so many minutes [min]")
    workers: Index | None = Field(None, description="processes that read crops ahead; none on a CPU, 4 on a GPU unless given")
    device: Device = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: Count | None = Field(None, description="CPU threads of torch; those of the job unless given")


class Inference(Section):
    """How whole samples are predicted."""

    tile: Size | None = Field(None, description="edge of a tile [voxels]; the crop's unless given")
    compression: Literal["gzip", "lzf", "none"] = Field("lzf", description="of the predictions on disk, without loss")
    precision: Literal["float32", "bf16"] = Field("float32", description="arithmetic of the network")


class Experiment(Section):
    """One model on one dataset, judged in one way."""

    dataset: Name = Field(description="name of a dataset")
    task: Annotated[Chosen, Choice("task")] = Field("field_to_field", description="the family of models")
    normalize: Normalize = Field(Normalize(), description="how fields are made dimensionless")
    crops: Crops = Field(description="what one training example is")
    model: Annotated[Chosen, Choice("model")] = Field(description="the network")
    loss: Annotated[Chosen, Choice("loss")] = Field("mse", description="what training makes small, of normalised fields")
    optimizer: Annotated[Chosen, Choice("optimizer")] = Field("adamw", description="how a step is made")
    schedule: Annotated[Chosen, Choice("schedule")] = Field("cosine", description="how the learning rate changes")
    training: Training = Field(Training(), description="the training loop")
    inference: Inference = Field(Inference(), description="prediction of whole samples")
    evaluation: Annotated[list[Chosen], Choice("metric")] = Field(
        ["power_spectrum", "cross_correlation", "mean_square_error", "one_point"], description="what is measured"
    )


class Ablation(Section):
    """Makes experiments out of one: every combination of the listed values."""

    of: Name = Field(description="name of an experiment")
    vary: Annotated[dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]], Field(min_length=1)] = Field(
        description="key of the experiment, with points -> values"
    )


class Report(Section):
    """The report page."""

    title: str = Field("Field emulators", description="heading of the page")
    sections: Annotated[list[Chosen] | None, Choice("section")] = Field(
        None, description="what it shows, in order; all sections unless given"
    )


def _results(value: str) -> str:
    if not value.strip() or value != value.strip() or "\n" in value or "{" in value:
        raise ValueError("expected a folder name without braces, line breaks or blanks at its ends")
    return value


class Config(Section):
    """Everything a run depends on."""

    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)] = Field(description="name -> dataset")
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)] = Field(description="name -> experiment")
    ablations: dict[Name, Ablation] = Field({}, description="name -> ablation")
    plugins: list[str] = Field([], description="Python files and installed packages with models, losses, ... of your own")
    results: Annotated[str, AfterValidator(_results)] = Field("results", description="folder for everything that is made")
    report: Report = Field(Report(), description="the report page")
    _variants: dict[str, "Variant"] = {}

    @property
    def variants(self) -> dict[str, "Variant"]:
        """Of the experiments that ablations made: name -> where it comes from."""
        return self._variants


class Variant(Section):
    """Where an experiment made by an ablation comes from."""

    of: str
    ablation: str
    values: dict[str, Any]

    @property
    def label(self) -> str:
        """What differs from the base, to be read by people."""
        return ", ".join(f"{key} = {value}" for key, value in self.values.items())


# ---- reading


def load(paths: Iterable[str | Path], default: str | Path | None = None, overrides: Mapping | None = None) -> Config:
    """The config of the files laid over each other in order, then `overrides`; raises ConfigError.

    A first file that is complete by itself (all its experiments and their datasets are in it) is used alone;
    otherwise it is laid over `default`.
    """
    layers = [yamlfile.read(path) for path in paths]
    if default is not None and not (layers and _complete(layers[0])):
        layers.insert(0, yamlfile.read(default))
    raw: dict = {}
    for layer in [*layers, yamlfile.plain(dict(overrides or {}))]:
        raw = yamlfile.lay_over(raw, layer)
    return parse(raw)


def parse(raw: Mapping) -> Config:
    """Check a config given as plain dicts and fill in every default; raises ConfigError."""
    raw = _without_nulls(raw)
    plugins = raw.get("plugins", [])
    registry.use_plugins(plugins if isinstance(plugins, list) and all(isinstance(p, str) for p in plugins) else [])
    config = _frame(Config, raw, "")
    datasets = {name: _dataset(d, f"datasets.{name}") for name, d in config.datasets.items()}
    experiments = {name: _experiment(e, f"experiments.{name}", datasets) for name, e in config.experiments.items()}
    variants: dict[str, Variant] = {}
    for name, ablation in config.ablations.items():
        for variant in _variants(name, ablation, list(config.experiments)):
            experiment = _varied(experiments[ablation.of], variant, f"ablations.{name}", datasets)
            key = _variant_name(variant)
            if key in experiments:
                raise ConfigError(f"ablations.{name}: makes {key!r}, which exists; rename the ablation")
            experiments[key], variants[key] = experiment, variant
    report = _resolved(config.report, "report")
    config = config.model_copy(update={"datasets": datasets, "experiments": experiments, "report": report})
    config._variants = variants
    return config


def _complete(raw: Mapping) -> bool:
    datasets, experiments = raw.get("datasets"), raw.get("experiments")
    if not isinstance(datasets, Mapping) or not isinstance(experiments, Mapping) or not experiments:
        return False
    return all(isinstance(e, Mapping) and e.get("dataset") in datasets for e in experiments.values())


def _without_nulls(raw: Mapping) -> dict:
    """An overlay removes a dataset, an experiment or an ablation by giving null for it."""
    tables = {k: v for k, v in raw.items() if k in ("datasets", "experiments", "ablations") and isinstance(v, Mapping)}
    emptied = {k: {name: item for name, item in v.items() if item is not None} for k, v in tables.items()}
    return copy.deepcopy({**raw, **emptied})


# ---- the frame: sections and their keys


def _frame(section: type[Any], raw: Any, where: str) -> Any:
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(registry.complaint(error, where, _known(section, error))) from None


def _known(section: type[BaseModel], error: ValidationError) -> list[str]:
    """The keys that are allowed where a pydantic error found an unknown one."""
    loc = next((e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"), ())
    schema = section.model_json_schema()
    node: Any = schema
    for part in loc[:-1]:
        node = _follow(schema, node)
        node = node.get("properties", {}).get(part) or node.get("additionalProperties") or node.get("items") or {}
    return list(_follow(schema, node).get("properties", {}))


def _follow(schema: dict, node: Any) -> dict:
    node = node if isinstance(node, dict) else {}
    for option in [node, *node.get("anyOf", [])]:
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return node


# ---- the choices: names of code and their options


def _resolved(section: Any, where: str) -> Any:
    """The section with every choice looked up and completed by its defaults."""
    updates = {}
    for name, info in type(section).model_fields.items():
        choice = next((m for m in info.metadata if isinstance(m, Choice)), None)
        value = getattr(section, name)
        if choice and value is not None:
            updates[name] = choice.resolve(value, f"{where}.{name}")
    return section.model_copy(update=updates)


def _dataset(dataset: Dataset, where: str) -> Dataset:
    dataset = _resolved(dataset, where)
    samples = dataset.source.get("samples")
    if isinstance(samples, int) and samples < dataset.folds.number:
        raise ConfigError(f"{where}.folds.count: {dataset.folds.number} folds but {samples} samples")
    return dataset


def _experiment(experiment: Experiment, where: str, datasets: Mapping[str, Dataset]) -> Experiment:
    if experiment.dataset not in datasets:
        hint = registry.hint(experiment.dataset, datasets)
        raise ConfigError(f"{where}.dataset: unknown dataset {experiment.dataset!r}; {hint}")
    normalize = {side: _normal(getattr(experiment.normalize, side), f"{where}.normalize.{side}") for side in SIDES}
    experiment = experiment.model_copy(update={"normalize": experiment.normalize.model_copy(update=normalize)})
    return _resolved(experiment, where)


def _normal(value: str | Normal, where: str) -> Normal:
    if isinstance(value, str):
        key = Choice("scaling", "transform").kind_of(value, where)
        return Normal(**{key: value})
    for kind in ("transform", "scaling"):
        registry.find(kind, getattr(value, kind), f"{where}.{kind}")
    return value


# ---- the ablations


def _variants(name: str, ablation: Ablation, known: list[str]) -> Iterator[Variant]:
    if ablation.of not in known:
        raise ConfigError(f"ablations.{name}.of: unknown experiment {ablation.of!r}; {registry.hint(ablation.of, known)}")
    for values in itertools.product(*ablation.vary.values()):
        yield Variant(of=ablation.of, ablation=name, values=dict(zip(ablation.vary, values, strict=True)))


def _variant_name(variant: Variant) -> str:
    """`width-4`: the ablation's name and a word for each value, at most 64 characters."""
    words = [_word(value) for value in variant.values.values()]
    return "-".join([variant.ablation, *words])[:64].rstrip("-")


def _word(value: Any) -> str:
    if isinstance(value, dict):
        value = "-".join(str(v) for v in value.values())
    text = str(value).replace(".", "p").replace("+", "")
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "none"


def _varied(base: Experiment, variant: Variant, where: str, datasets: Mapping[str, Dataset]) -> Experiment:
    raw = base.model_dump()
    for path, value in variant.values.items():
        _put(raw, path, copy.deepcopy(value), f"{where}.vary.{path}")
    where = f"{where} ({variant.label})"
    return _experiment(_frame(Experiment, raw, where), where, datasets)


def _put(raw: dict, path: str, value: Any, where: str) -> None:
    section, _, rest = path.partition(".")
    if not isinstance(raw, dict) or section not in raw:
        raise ConfigError(f"{where}: no such key; {registry.hint(section, raw if isinstance(raw, dict) else ())}")
    if rest:
        _put(raw[section], rest, value, where)
    else:
        raw[section] = value
