"""The keys of the config: sections, their types, ranges, defaults and what each means."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from ..options import Count, Fraction, Index, Name, Number, Positive, Probability, Seed
from ..wording import short, shown
from .choices import Choice
from .normal import Chosen, Normal, Normalize, Section
from .predictions import Prediction
from .slices import AnyOf, Slices, kind_of_examples
from .variation import Ablation
from .weights import InitialWeights, LastEpochs, of_path

__all__ = ["Config", "Crops", "Dataset", "Experiment", "Folds", "Normal", "Section", "Slices", "Variant"]

OneOrMore = Chosen | Annotated[list[Chosen], Field(min_length=1)]
Size = Count | Annotated[list[Count], Field(min_length=1, max_length=3)]
Voxel = Index | Annotated[list[Index], Field(min_length=1, max_length=3)]
Device = Annotated[
    str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$", json_schema_extra={"x-words": "auto, cpu, cuda or cuda:N"})
]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Side = Index | Annotated[list[Index], Field(min_length=2, max_length=2)]
Halo = Index | Annotated[list[Side], Field(min_length=1, max_length=3)]


class Folds(Section):
    """How samples are divided: each fold is held out once, the others train."""

    count: Annotated[int, Field(ge=2, le=1000)] | None = Field(None, description="number of folds; 3 unless `given`")
    by: Literal["sample", "group"] | None = Field(
        None,
        description="what stays together in one fold; group where the `source` says what that is, else sample",
    )
    seed: Seed = Field(0, description="decides which sample falls into which fold")
    given: Annotated[list[list[str]], Field(min_length=2, max_length=1000)] | None = Field(
        None, description="the sample ids of each fold, instead of `count` and `seed`"
    )
    run: Annotated[list[Index], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="the folds to hold out and train for; all unless given"
    )

    @model_validator(mode="after")
    def _agree(self) -> "Folds":
        if self.given is not None and self.count not in (None, len(self.given)):
            raise ValueError(f"count is {self.count} but {len(self.given)} folds are given; expected one of the two")
        if self.run is not None and (len(set(self.run)) < len(self.run) or max(self.run) >= self.number):
            raise ValueError(f"run is {self.run}; expected different folds out of 0 to {self.number - 1}")
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
    shard: Count | None = Field(
        None, description="samples a job, of a large dataset that is not divided yet; 500 unless given"
    )

    @property
    def has_target(self) -> bool:
        """Whether there is a field to learn from."""
        source = dict(self.source)
        return source["kind"] != "cubes" and source.get("target", "") is not None

    def parts(self, side: str) -> list[str]:
        """Names of the parts of a field in the order of their channels; [""] of an undivided one."""
        patterns = dict(self.source).get(side)
        return sorted(patterns) if isinstance(patterns, dict) else [""]


class Crops(Section):
    """The crops that a field is cut into, in voxels of the input."""

    size: Size = Field(description="edge of a crop [voxels], one number or one an axis")
    step: Size | None = Field(None, description="distance between crops [voxels]; the size unless given")
    start: Voxel | None = Field(None, description="first voxel of the part of each field that is learnt from [voxels]")
    stop: Size | None = Field(None, description="first voxel behind that part [voxels]; the end unless given")
    halo: Halo | None = Field(
        None,
        description="voxels to read around a crop [voxels]: on all sides, or of each axis, as one number or "
        "[before, behind]; what the model needs unless given, and what is more is cut off its output",
    )
    target_halo: Halo = Field(
        0, description="voxels around a crop to learn from as well [voxels]; neighbouring crops share them"
    )
    scale_factor: Count | None = Field(
        None,
        description="voxels of the target for each of the input, along an axis; as the model makes them unless given",
    )

    @model_validator(mode="after")
    def _agree(self) -> "Crops":
        pairs = zip(
            *(value if isinstance(value, list) else [value] * 3 for value in (self.start, self.stop)), strict=False
        )
        for start, stop in pairs:
            if stop is not None and stop <= (start or 0):
                raise ValueError(f"start is {start or 0}, stop is {stop}; expected start below stop")
        return self


Examples = Annotated[
    Annotated[Crops, Tag("crops")] | Annotated[Slices, Tag("slices")], Discriminator(kind_of_examples), AnyOf()
]


class Validation(Section):
    """Samples of the training folds on which the model is chosen; the held-out fold is never looked at."""

    fraction: Fraction = Field(0.1, description="part of the training samples kept for validation, at least one")
    every: Count = Field(1, description="measure after so many epochs [epochs]")
    patience: Count | None = Field(None, description="stop after so many measurements without a better one")


class Training(Section):
    """The training loop."""

    epochs: Index = Field(30, description="passes over the training crops; 0 takes the initial weights as they are")
    batch_size: Count = Field(4, description="crops a batch")
    accumulate: Count = Field(
        1, description="batches a step: as one batch so many times as large, but for batch normalisation"
    )
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32", description="arithmetic of the network; with fp16 losses are scaled, and steps that overflow skipped"
    )
    augment: list[Literal["flip", "permute", "shift"]] = Field(
        [], description="random symmetries of the cube and periodic shifts of the crop"
    )
    farthest_shift: Voxel | None = Field(
        None,
        description="most voxels that `shift` moves a crop by, one number or one an axis; anywhere unless given",
    )
    augment_factor: Positive | None = Field(
        None, description="spread of the logarithm of a random factor, the same for input and target"
    )
    augment_offset: Positive | None = Field(
        None, description="spread of a random offset, the same for input and target [normalised units]"
    )
    neighbourhood: Positive | None = Field(
        None,
        description="mix crops of so many samples at a time, for data larger than memory; of all unless given",
    )
    clip: Positive | None = Field(None, description="largest norm of the gradient")
    init_std: Positive | None = Field(
        None, description="standard deviation of normal initial weights; those of the network unless given"
    )
    ema: Probability | None = Field(None, description="decay of the moving average of weights that becomes the model")
    average: LastEpochs | None = Field(
        None, description="mean of the weights of the last epochs that becomes the model, instead of `ema`"
    )
    validation: Validation | None = Field(Validation(), description="how the best model is chosen; null keeps the last")
    seed: Seed = Field(0, description="initial weights, order of crops, augmentation")
    initial_weights: Annotated[Annotated[str, Field(min_length=1)] | InitialWeights | None, AfterValidator(of_path)] = (
        Field(None, description="weights to begin with instead of random ones; held-out samples must be new to them")
    )
    save_steps: Count | None = Field(None, description="checkpoint after so many steps [steps]")
    save_minutes: Positive = Field(5.0, description="checkpoint after so many minutes [min]")
    keep: Count = Field(2, description="checkpoints that are kept, each with the best weights so far")
    workers: Index | None = Field(None, description="processes that read crops ahead; unless given 4 on a GPU")
    device: Device = Field("auto", description="where the network is trained; auto takes a GPU if there is one")
    gpus: Count = Field(1, description="GPUs (processes, on a CPU) on each node, each with its part of every batch")
    nodes: Count = Field(1, description="computers of a cluster that train together; more than one in a Slurm job")
    channels_last: bool = Field(False, description="keep channels together in memory: faster in half precision on GPUs")
    compile: bool = Field(False, description="let torch compile the network; needs a compiler where it trains")
    checkpoint_activations: bool = Field(
        False, description="compute activations again in the backward pass instead of keeping them: less memory"
    )
    detect_anomaly: bool = Field(False, description="look for the operation whose gradient is not a number; slow")
    threads: Count | None = Field(None, description="CPU threads on each node, shared by its processes; 8 a GPU")

    @model_validator(mode="after")
    def _agree(self) -> "Training":
        if not self.epochs and self.initial_weights is None:
            raise ValueError("epochs is 0 without initial_weights; expected at least 1, or weights to begin with")
        if self.ema is not None and self.average is not None:
            raise ValueError("ema and average; expected one of them")
        return self


class Inference(Section):
    """How whole samples are predicted."""

    tile: Size | None = Field(None, description="edge of a tile [voxels of the input]; the crop's unless given")
    overlap: Voxel = Field(
        0, description="voxels that tiles share and are blended in, one number or one an axis; at most half a tile"
    )
    compression: Literal["gzip", "lzf", "none"] = Field("lzf", description="of the predictions on disk, without loss")
    precision: Literal["float32", "bf16", "fp16"] = Field("float32", description="arithmetic of the network")
    saliency: Index = Field(1, description="held-out samples of which a network of labels tells what it looks at")
    seed: Seed = Field(0, description="decides the noise of each sample, of models that take any")
    draws: Count = Field(
        1, description="predictions of each sample, each with noise of its own; their spread is judged against errors"
    )


class Style(Section):
    """How a number of the sample is made dimensionless: (value - shift) / spread."""

    shift: Number | None = Field(None, description="what is subtracted; the mean of the training samples unless given")
    spread: Positive | None = Field(None, description="what it is divided by; their standard deviation unless given")


class Experiment(Section):
    """One model on one dataset, judged in one way."""

    dataset: Name = Field(description="name of a dataset")
    task: Annotated[Chosen, Choice("task")] = Field("field_to_field", description="the family of models")
    normalize: Normalize = Field(Normalize(), description="how fields are made dimensionless")
    styles: dict[Parameter, Style] = Field(
        {},
        description="what a styled model is told of a sample, in the order of names: redshift, omega_m, growth or one "
        "of its parameters; displacement_velocity is told omega_m and growth, as they are",
    )
    crops: Examples = Field(description="what one training example is: a crop; with `kind`, a slice or a whole sample")
    model: Annotated[Chosen, Choice("model", "encoder", called="model")] = Field(
        description="the network; an encoder where labels are learnt"
    )
    loss: Annotated[OneOrMore, Choice("loss", "label_loss", weighted=True, called="loss")] = Field(
        "mse",
        description="what training makes small; of torch.nn the losses that compare two fields of one shape, "
        "those that need more (CTC, triplet, cosine embedding, ...) are not for fields; "
        "of labels unless given the likelihood of their kind",
    )
    optimizer: Annotated[Chosen, Choice("optimizer")] = Field(
        "adamw",
        description="how a step is made; by an optimizer of torch, but L-BFGS: it needs one loss many times a step",
    )
    schedule: Annotated[Chosen, Choice("schedule")] = Field("cosine", description="how the learning rate changes")
    training: Training = Field(Training(), description="the training loop")
    inference: Inference = Field(Inference(), description="prediction of whole samples")
    tracking: Annotated[list[Chosen], Choice("tracker")] = Field(
        ["tensorboard"], description="where a training is watched; nowhere if empty, and no result depends on it"
    )
    evaluation: Annotated[list[Chosen], Field(min_length=1), Choice("metric", "label_baseline", called="metric")] = (
        Field(
            ["power_spectrum", "cross_correlation", "mean_square_error", "one_point"],
            description="what is measured; of labels the baselines, [power_spectrum_baseline] unless given",
        )
    )


class Report(Section):
    """The report page."""

    title: str = Field("Field emulators", description="heading of the page")
    sections: Annotated[list[Chosen] | None, Choice("section")] = Field(
        None, description="what it shows, in order; all sections unless given"
    )


def _results(value: str) -> str:
    if not value.isprintable() or value != value.strip() or not value or set("{}") & set(value):
        raise ValueError(f"got {shown(value)}; expected a folder, without braces, line breaks or blanks at its ends")
    return value


class Variant(Section):
    """Where an experiment made by an ablation comes from; `key` is where the ablation holds its values."""

    of: str
    ablation: str
    values: dict[str, Any]
    key: str = "vary"

    @property
    def label(self) -> str:
        """What differs from the base, to be read by people."""
        return ", ".join(f"{key} = {value}" for key, value in self.values.items())

    @property
    def origin(self) -> str:
        """Where the config says so: the ablation with its values or the variant's name, then the base."""
        place = f".{self.key}" if self.key.startswith("variants.") else f" ({short(self.label)})"
        return f"ablations.{self.ablation}{place}: experiments.{self.of}"


class Config(Section):
    """Everything a run depends on."""

    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)] = Field(description="name -> dataset")
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)] = Field(description="name -> experiment")
    ablations: dict[Name, Ablation] = Field({}, description="name -> ablation")
    predictions: dict[Name, Prediction] = Field(
        {}, description="name -> prediction of new inputs, or files of predictions"
    )
    plugins: list[str] = Field([], description="Python files and installed packages with your models, losses, ...")
    results: Annotated[str, AfterValidator(_results)] = Field("results", description="folder of all that is made")
    report: Report = Field(Report(), description="the report page")
    _variants: dict[str, Variant] = {}
    _probes: dict[str, list[tuple[Variant, Experiment]]] = {}

    @property
    def probes(self) -> dict[str, list[tuple[Variant, Experiment]]]:
        """Of each search, the experiments at the ends of what it draws from: all its trials lie between them."""
        return self._probes

    @property
    def variants(self) -> dict[str, Variant]:
        """Of the experiments that ablations made: name -> where it comes from."""
        return self._variants

    def origin(self, experiment: str) -> str:
        """Where the config says what an experiment is: its own path, or that of its base and of the ablation."""
        variant = self._variants.get(experiment)
        return variant.origin if variant else f"experiments.{experiment}"
