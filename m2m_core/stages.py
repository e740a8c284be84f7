"""Which keys of the config and which code each stage uses: what a rule's `params` hold, and so what makes it stale.

Everything is a plain dict of JSON types, computed from names alone, never from files that a stage makes.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from . import registry
from .config import Config, Dataset, Experiment
from .config.normal import Normal
from .errors import ConfigError
from .family import family_of, figure_of
from .files import digest
from .provenance import code_of, fingerprint
from .registry import Entry, find

__all__ = ["RUNNING", "Stages", "is_simulated"]

RUNNING = (
    "workers",
    "save_steps",
    "save_minutes",
    "keep",
    "gpus",
    "nodes",
    "threads",
    "checkpoint_activations",
    "detect_anomaly",
)  # may change without changing the result
CHOSEN = ("task", "model", "loss", "optimizer", "schedule")
BEFORE = {  # the stages of an experiment and those whose results each depends on
    "statistics": (),
    "crops": (),
    "training": ("statistics", "crops"),
    "inference": ("statistics", "crops", "training"),
    "evaluation": ("statistics", "crops", "training", "inference"),
}


def is_simulated(dataset: Dataset) -> bool:
    """Whether the samples are made here rather than found."""
    return dataset.source["kind"] in registry.entries("simulation")


class Stages:
    """The settings of every stage of a config; results are cached, because a DAG asks thousands of times."""

    def __init__(self, config: Config) -> None:
        self.config = config
        for name in ("simulation", "inspection", "catalogue", "moments", "search", *BEFORE):
            setattr(self, name, cache(getattr(self, name)))
        self._digest_of = cache(code_of)
        self._content = cache(_content)
        self._chain = cache(self._chain)  # type: ignore[method-assign]
        self._owners: dict[tuple[str, str], str] = {}  # (stage, what decides its result) -> experiment
        for stage in BEFORE:
            for experiment in config.experiments:
                self._owners.setdefault((stage, self._chain(experiment, stage)), experiment)

    # ---- of a dataset

    def simulation(self, dataset: str) -> dict[str, Any]:
        """One simulated sample; how many there are does not matter to it."""
        source = {k: v for k, v in self.config.datasets[dataset].source.items() if k != "samples"}
        return self._with_code({"source": source}, "m2m_core.simulations", find("simulation", source["kind"]))

    def inspection(self, dataset: str) -> dict[str, Any]:
        """What a part of many samples holds, and how it is made; how large the parts are does not matter to it."""
        chosen = self.config.datasets[dataset]
        if is_simulated(chosen):
            return self._with_code(
                {"simulation": self.simulation(dataset)}, "m2m_core.data.shards", *self._readers(dataset)
            )
        source: Any = chosen.model_dump()["source"]
        code = [*self._readers(dataset), find("source", source["kind"])]
        return self._with_code({"source": source}, "m2m_core.data.shards", *code)

    def catalogue(self, dataset: str) -> dict[str, Any]:
        """The table of samples and their folds."""
        chosen = self.config.datasets[dataset]
        keys = chosen.model_dump()
        keys["folds"].pop("run")
        keys.pop("verify")
        keys.pop("shard")
        told = (e.task for e in self.config.experiments.values() if e.dataset == dataset)
        if not chosen.has_target and any(not family_of(task).needs_target for task in told):
            keys["tells"] = True  # labels: hence folds, though there is no target
        made = is_simulated(chosen)
        sources = [] if made else [find("source", keys["source"]["kind"])]
        return self._with_code(keys, "m2m_core.data.stage", *self._readers(dataset), *sources)

    def moments(self, dataset: str, transform: str) -> dict[str, Any]:
        """One pass over all fields of a dataset under one transform, or under a chain joined by hyphens."""
        names = transform.split("-")
        keys = {
            "transform": names[0] if len(names) == 1 else names,
            "on_nonfinite": self.config.datasets[dataset].on_nonfinite,
        }
        code = [*(find("transform", name) for name in names), *self._readers(dataset)]
        return self._with_code(keys, "m2m_core.statistics", *code)

    # ---- of an experiment

    def transforms(self, experiment: str) -> list[str]:
        """The transforms whose moments an experiment needs; a chain is joined by hyphens."""
        return sorted({_chain(normal) for normal in self._normals(self._of(experiment))})

    def sketched(self, experiment: str) -> list[str]:
        """Those whose quantiles a scaling needs as well."""
        normals = self._normals(self._of(experiment))
        return sorted({_chain(normal) for normal in normals if _scaling(normal) in registry.entries("quantiles")})

    def statistics(self, experiment: str) -> dict[str, Any]:
        """Moments pooled over the training samples of a fold."""
        keys = {"normalize": self._of(experiment).model_dump()["normalize"]}
        names = {_scaling(normal) for normal in self._normals(self._of(experiment))}
        code = [find("quantiles", name) for name in sorted(names & registry.entries("quantiles").keys())]
        return self._with_code(keys, "m2m_core.statistics", *code)

    def crops(self, experiment: str) -> dict[str, Any]:
        """The lattice of crops; of the model only its geometry matters."""
        model = self._chosen(experiment, "model")
        entry = find("geometry", model["name"], f"experiments.{experiment}.model: its halo")
        options = {key: value for key, value in model.items() if key in entry.options}
        geometry = {"name": model["name"], "options": options}
        keys = {"crops": self._of(experiment).crops.model_dump(), "geometry": geometry}
        return self._with_code(keys, "m2m_core.crops", entry)

    def training(self, experiment: str) -> dict[str, Any]:
        """All that decides the weights."""
        keys = self._of(experiment).model_dump()
        for key in ("dataset", "evaluation", "inference", "tracking"):
            del keys[key]
        for key in RUNNING:
            del keys["training"][key]
        if weights := keys["training"]["initial_weights"]:
            keys["initial_weights"] = self._content(weights["path"])
        return self._with_code(keys, "m2m_core.training.stage", *self._code(experiment))

    def running(self, experiment: str) -> dict[str, Any]:
        """How training is carried out and watched, without a say in its result."""
        chosen = self._of(experiment)
        watched = {name: chosen.model_dump()[name] for name in ("inference", "evaluation", "tracking")}
        return {**watched, "training": {key: getattr(chosen.training, key) for key in RUNNING}}

    def inference(self, experiment: str) -> dict[str, Any]:
        """How held-out samples are predicted."""
        keys = {"inference": self._of(experiment).inference.model_dump()}
        return self._with_code(keys, "m2m_core.inference.stage", *self._code(experiment, ("task", "model", "geometry")))

    def admission(self, prediction: str) -> dict[str, Any]:
        """What samples that are to be predicted have to agree with."""
        chosen = self.config.predictions[prediction]
        experiment = self._of(chosen.experiment)
        geometry = self.crops(chosen.experiment)["geometry"]
        tiled = not self.tells(prediction)
        keys = {
            "cell_tolerance": chosen.cell_tolerance,
            "geometry": geometry,
            "overlap": experiment.inference.overlap,
            "styles": list(experiment.styles),
            "tile": experiment.inference.tile or experiment.crops.size if tiled else None,
        }
        return self._with_code(keys, "m2m_core.admission", find("geometry", geometry["name"]))

    def prediction(self, prediction: str) -> dict[str, Any]:
        """How new samples are predicted by one model: as the held-out ones of its experiment."""
        chosen = self.config.predictions[prediction]
        inference = self._of(chosen.experiment).inference.model_dump()
        keys = {"inference": {**inference, "draws": chosen.draws or inference["draws"]}}
        code = [*self._code(chosen.experiment, ("task", "model", "geometry")), *self._readers(chosen.dataset)]
        return self._with_code(keys, "m2m_core.inference.stage", *dict.fromkeys(code))

    def tells(self, prediction: str) -> bool:
        """Whether what is predicted are labels, not fields."""
        return family_of(self._of(self.config.predictions[prediction].experiment).task).tells

    def answers(self, prediction: str) -> dict[str, Any]:
        """How the labels that several models tell become tables."""
        task = self._chosen(self.config.predictions[prediction].experiment, "task")
        return self._with_code({"labels": task["labels"]}, "m2m_core.inference.answers")

    def ensemble(self, prediction: str) -> dict[str, Any]:
        """How the predictions of several models become one."""
        inference = self._of(self.config.predictions[prediction].experiment).inference
        return self._with_code({"compression": inference.compression}, "m2m_core.inference.ensemble")

    def writing(self, prediction: str) -> dict[str, Any]:
        """Files for other programs, and the parts of the target that they are named after."""
        chosen = self.config.predictions[prediction]
        learnt = self.config.datasets[self._of(chosen.experiment).dataset]
        keys = {**chosen.write.model_dump(), "parts": learnt.parts("target")}
        return self._with_code(keys, "m2m_core.inference.writing")

    def models(self, prediction: str) -> list[int]:
        """The folds whose models predict."""
        chosen = self.config.predictions[prediction]
        return sorted(chosen.folds or self.folds(chosen.experiment))

    def is_ensemble(self, prediction: str) -> bool:
        """Whether several predictions are made of each sample: by several models, or with noise of their own."""
        return len(self.models(prediction)) * self.prediction(prediction)["inference"]["draws"] > 1

    def evaluation(self, experiment: str) -> dict[str, Any]:
        """What is measured."""
        metrics = self._of(experiment).evaluation
        kind = family_of(self._of(experiment).task).kinds["evaluation"]
        code = [find(kind, metric["name"]) for metric in metrics if isinstance(metric, dict)]
        code += self._code(experiment, ("task",))
        return self._with_code({"evaluation": metrics}, "m2m_core.evaluation", *code)

    @property
    def exported(self) -> list[str]:
        """The experiments whose family has an exported form."""
        known = registry.entries("export")
        return [name for name in self.config.experiments if self._chosen(name, "task")["name"] in known]

    def export(self, experiment: str) -> dict[str, Any]:
        """One file that holds a trained model with its normalisation."""
        task = self._chosen(experiment, "task")["name"]
        entry = find("export", task, f"{self.config.origin(experiment)}.task: it has no exported form")
        normals = self._normals(self._of(experiment))
        pairs = {("torch_transform", name) for normal in normals for name in _chain(normal).split("-")}
        pairs |= {("torch_scaling", _scaling(normal)) for normal in normals}
        pairs.add(("torch_model", self._chosen(experiment, "model")["name"]))
        code = [find(*pair) for pair in sorted(pairs) if pair[1] in registry.entries(pair[0])]
        keys = {"task": task, "experiment": experiment, "inference": self._of(experiment).inference.model_dump()}
        if meaning := dict(self.config.datasets[self._of(experiment).dataset].source).get("labels"):
            keys["meaning"] = meaning
        return self._with_code(
            keys, "m2m_core.export.stage", entry, *code, *self._code(experiment, ("task", "model", "geometry"))
        )

    # ---- of an ablation

    def search(self, ablation: str) -> dict[str, Any]:
        """All that decides the trials of a search; of its base, what decides the weights, and the crops."""
        chosen = self.config.ablations[ablation]
        base = {key: value for key, value in self.training(chosen.of).items() if key != "code"}
        weights = {key: base.pop(key) for key in ("initial_weights",) if key in base}
        drawn = chosen.model_dump(include={"of", "draw", "search"})
        code = [entry for _, experiment in self.config.probes[ablation] for entry in self._entries(experiment)]
        return self._with_code({**drawn, **weights, "ablation": ablation, "base": base}, "m2m_core.search.stage", *code)

    def searching(self, ablation: str) -> dict[str, Any]:
        """How the trials of a search are carried out, and what they never look at."""
        base = self.config.ablations[ablation].of
        return {**self.running(base), "dataset": self._of(base).dataset}

    def comparison(self) -> dict[str, Any]:
        """The figure of an ablation."""
        return self._with_code({}, "m2m_core.report.figures.comparison", "m2m_core.report.draw")

    def trials(self, ablation: str) -> dict[str, Any]:
        """The figure of one search."""
        draw = self.config.ablations[ablation].model_dump()["draw"]
        return self._with_code({"draw": draw}, "m2m_core.report.figures.search", "m2m_core.report.draw")

    def members(self, ablation: str) -> list[str]:
        """The base of an ablation and the experiments that it makes."""
        made = [name for name, variant in self.config.variants.items() if variant.ablation == ablation]
        return [self.config.ablations[ablation].of, *made]

    # ---- of the report

    def figures(self, experiment: str) -> list[str]:
        """The figures that what is measured allows."""
        chosen = self._of(experiment)
        return family_of(chosen.task).figures(chosen)

    def figure(self, figure: str) -> dict[str, Any]:
        """One figure of one experiment."""
        return self._with_code({"figure": figure}, "m2m_core.report.draw", figure_of(figure))

    def caption(self, figure: str) -> str:
        """What a figure shows."""
        return figure_of(figure).summary

    def description(self, experiment: str) -> dict[str, Any]:
        """An experiment for people: its name, what it varies, and its settings."""
        variant = self.config.variants.get(experiment)
        is_listed = variant is not None and variant.key == "vary"
        return {
            "name": experiment,
            "label": f"{variant.of}, {variant.label}" if variant and is_listed else experiment,
            "base": variant.of if variant else None,
            "ablation": variant.ablation if variant else None,
            "config": self._of(experiment).model_dump(),
        }

    def report(self) -> dict[str, Any]:
        """The page: the whole config."""
        sections = list(registry.entries("section").values())
        return self._with_code({"config": self.config.model_dump()}, "m2m_core.report.stage", *sections)

    # ---- sharing

    def folds(self, experiment: str) -> list[int]:
        """The folds that are held out in turn."""
        return self.config.datasets[self._of(experiment).dataset].folds.held_out

    def owner(self, experiment: str, stage: str) -> str:
        """The first experiment that has the same settings up to `stage`: equal stages are computed once."""
        return self._owners[stage, self._chain(experiment, stage)]

    def _chain(self, experiment: str, stage: str) -> str:
        settings = [getattr(self, name)(experiment) for name in (*BEFORE[stage], stage)]
        return fingerprint([self._of(experiment).dataset, settings])

    # ---- parts

    def _of(self, experiment: str) -> Experiment:
        if experiment not in self.config.experiments:
            hint = registry.hint(experiment, self.config.experiments)
            raise ConfigError(f"experiments: unknown {experiment!r}; {hint}")
        return self.config.experiments[experiment]

    def _chosen(self, experiment: str, kind: str) -> dict[str, Any]:
        value: Any = getattr(self._of(experiment), kind)
        return dict(value)

    def _code(self, experiment: str, kinds: tuple[str, ...] | None = None) -> list[Entry]:
        return self._entries(self._of(experiment), kinds)

    def _entries(self, chosen: Experiment, kinds: tuple[str, ...] | None = None) -> list[Entry]:
        """The entries that an experiment chooses, its normalisations and what reads its files."""
        named = [(kind, name) for kind in CHOSEN for name in _names(getattr(chosen, kind))]
        named += [("geometry", name) for kind, name in named if kind == "model"]
        family = family_of(chosen.task).kinds
        entries = [find(family.get(kind, kind), name) for kind, name in named if kinds is None or kind in kinds]
        if kinds is None:
            entries += [entry for kind in CHOSEN for entry in _inner(family.get(kind, kind), getattr(chosen, kind))]
        normals = self._normals(chosen)
        entries += [find("transform", name) for normal in normals for name in _chain(normal).split("-")]
        entries += [find("scaling", _scaling(normal)) for normal in normals]
        return entries + self._readers(chosen.dataset)

    def _normals(self, chosen: Experiment) -> list[Normal]:
        return [normal for side in ("input", "target") for normal in chosen.normalize.normals(side).values()]

    def _readers(self, dataset: str) -> list[Entry]:
        """What reads the files of a dataset: HDF5 where they are made here, any format where they are found."""
        made = is_simulated(self.config.datasets[dataset])
        return [entry for name, entry in registry.entries("reader").items() if name == "hdf5" or not made]

    def _with_code(self, keys: Mapping[str, Any], *code: str | Entry) -> dict[str, Any]:
        return {**keys, "code": self._digest_of(*code)}


def _names(chosen: Any) -> list[str]:
    """Of what an experiment chooses, one or several."""
    return [one["name"] for one in (chosen if isinstance(chosen, list) else [chosen])]


def _inner(kind: str, chosen: Any) -> Iterator[Entry]:
    """What the options of something chosen name in turn, and of a discriminator what tells its patches."""
    for one in chosen if isinstance(chosen, list) else [chosen]:
        for key, inner in find(kind, one["name"]).choices.items():
            kinds = (inner, "patches") if inner == "discriminator" else (inner,)
            yield from (find(kind, one[key]["name"]) for kind in kinds if one[key] is not None)


def _content(path: str) -> str | None:
    """The sha256 of a file that the config names; the door says so if it is not there."""
    return digest(path) if Path(path).is_file() else None


def _chain(normal: Normal) -> str:
    """The transforms of a field as a file is named after them."""
    return normal.transform if isinstance(normal.transform, str) else "-".join(normal.transform)


def _scaling(normal: Normal) -> str:
    return normal.scaling if isinstance(normal.scaling, str) else normal.scaling["name"]
