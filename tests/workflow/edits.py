"""Every key of the config with one edit of it that a person could make, found from what the schema says it takes."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

from m2m_core import config, door, registry, schema
from m2m_core.errors import M2MError
from m2m_core.models import is_styled

from .conftest import TINY

CHOICES = ("source", "task", "model", "loss", "optimizer", "schedule", "evaluation", "sections", "tracking")
JUDGE = {"name": "stylegan2_discriminator", "scale": 2}  # whose patches are small
REQUIRED = {"multistep": {"milestones": [7]}, "adversarial": {"discriminator": JUDGE}}  # beside a name
TOLD = {"optimizer": "adamw", "schedule": "constant"}  # of keys that have edits of their own, one for a task's options
MODEL = {"depth": 1, "width": 2, "padding": "periodic"}
FILES = {"kind": "npy", "input": "data/in_*.npy", "target": "data/out_*.npy"}
WIDTHS = {"model.width": {"low": 2, "high": 40}}
WAYS = {
    "vary": {"vary": {"model.width": [3]}},
    "draw": {"draw": {"model.width": [3]}, "random": {"count": 1}},
    "random": {"draw": WIDTHS, "random": {"count": 1}},
    "search": {"draw": WIDTHS, "search": {"trials": 2}},
}
SEARCH = {"of": "tiny", "draw": {"training.clip": [0.5, 1.0]}, "search": {"trials": 2}}  # beside every key
ASKED = {  # of labels: what they are -> the task
    "binary": {"name": "field_to_label", "labels": ["gr"]},
    "classes": {"name": "field_to_label", "labels": ["gr"], "answer": "classes", "classes": 3},
    "regression": {"name": "field_to_label", "labels": ["sigma_8"], "answer": "regression"},
}
GRAVITY = {"kind": "gravity", "samples": 6, "mesh": 32}
CUBES = {"kind": "cubes", "input": "data/{seed}_{theory}_{snapshot}.npy", "labels": {"gr": {"theory": "gr"}}}
SNAPSHOTS = {"redshifts": {"a": 10.0, "b": 1.0}}
LABELLED = {"gravity": GRAVITY, "cubes": CUBES}  # sources of fields with labels
PLUGIN = """
from m2m_core.registry import register
@register("loss", "mine")
def mine(prediction, target):
    return (prediction - target).square().mean()
"""
WEIGHTS = ({"path": "data/one.pt"}, {"path": "data/other.pt"})


def _by_name(*names: str) -> dict:
    """An ablation of variants by name."""
    return {"of": "tiny", "variants": {name: {"model.width": 3 + i} for i, name in enumerate(names)}}


def _scalings() -> dict:
    """Every scaling, instead of another and with each of its options."""
    options = {"displacement": {"rms": 3.0}, "velocity": {"rms": 3.0}, "robust": {"low": 0.1, "high": 0.9}}
    found = {}
    for side in ("input", "target"):
        for name in registry.entries("scaling"):
            key, place = f"normalize.{side}.scaling.{name}", f"experiments.tiny.normalize.{side}.scaling"
            found[f"{key}.name"] = (place, "minmax" if name != "minmax" else "identity", name)
            for option, value in options.get(name, {}).items():
                found[f"{key}.{option}"] = (place, name, {"name": name, option: value})
    return found


def _of_labels() -> dict:
    """Keys of an experiment that tells labels."""
    tiny = "experiments.tiny"
    return {
        "task.field_to_label.labels": (f"{tiny}.task.labels", ["gr"], ["seed"]),
        "task.field_to_label.answer": (f"{tiny}.task", ASKED["binary"], {**ASKED["binary"], "answer": "regression"}),
        "task.field_to_label.classes": (f"{tiny}.task", ASKED["classes"], {**ASKED["classes"], "classes": 4}),
        "crops.kind": (f"{tiny}.crops", {"kind": "slices"}, {"kind": "whole"}),
        "crops.axes": (f"{tiny}.crops.axes", None, [0]),
        "crops.thickness": (f"{tiny}.crops.thickness", None, 2),
        **{
            f"evaluation.{name}.name": (f"{tiny}.evaluation", [{"name": name, "bins": 8}], [name])
            for name in registry.entries("label_baseline")
        },
        **{f"loss.{name}.name": (f"{tiny}.loss", [name], name) for name in registry.entries("label_loss")},
        **{
            f"loss.{name}.weight": (f"{tiny}.loss", [name], [{"name": name, "weight": 2.0}])
            for name in registry.entries("label_loss")
        },
    }


def _trackers() -> dict:
    """Every tracker, instead of none and with each of its options."""
    place, wandb = "experiments.tiny.tracking", {"name": "wandb", "mode": "disabled"}
    options = {"project": "mine", "entity": "us", "mode": "offline"}
    named = {
        f"tracking.{name}.name": (place, [], [one])
        for name, one in {"tensorboard": "tensorboard", "wandb": wandb}.items()
    }
    return named | {
        f"tracking.wandb.{key}": (place, [wandb], [{**wandb, key: value}]) for key, value in options.items()
    }


def _of_cubes() -> dict:
    """Keys of the sources with labels."""
    place, dated = "datasets.boxes.source", {**CUBES, **SNAPSHOTS}
    return {
        "source.gravity.kind": (place, CUBES, GRAVITY),
        "source.gravity.mesh": (f"{place}.mesh", 32, 64),
        "source.gravity.samples": (f"{place}.samples", 6, 8),
        "source.cubes.kind": (place, GRAVITY, CUBES),
        "source.cubes.input": (f"{place}.input", CUBES["input"], "data/{seed}_{theory}_?.npy"),
        "source.cubes.labels": (f"{place}.labels", CUBES["labels"], {"gr": {"theory": ["newton", "gr"]}}),
        "source.cubes.group": (f"{place}.group", "seed", "theory"),
        "source.cubes.redshifts": (place, CUBES, dated),
        "source.cubes.difference": (place, dated, {**dated, "difference": [10.0, 1.0]}),
        "source.cubes.factors": (f"{place}.factors", None, {"theory": {"newton": 0.5}}),
    }


# Keys whose value says nothing about another that would do: (path, before, after), None leaves it out.
SPECIAL = _scalings() | _trackers() | _of_labels() | _of_cubes() | {
    "datasets": ("datasets.other", None, {"source": {"kind": "nbody"}}),
    "source.nbody.kind": ("datasets.boxes.source", FILES, TINY["datasets"]["boxes"]["source"]),
    "source.npy.kind": ("datasets.boxes.source", {**FILES, "kind": "hdf5"}, FILES),
    "source.hdf5.kind": ("datasets.boxes.source", FILES, {**FILES, "kind": "hdf5"}),
    "source.quantities": ("datasets.boxes.source.quantities", None, {"target": "vector"}),
    "source.baselines": ("datasets.boxes.source.baselines", None, {"other": "data/in_*.npy"}),
    "source.datasets": ("datasets.boxes.source.datasets", None, {"input": "density"}),
    "source.parameters": ("datasets.boxes.source.parameters", None, "data/numbers.csv"),
    "source.input": ("datasets.boxes.source.input", "data/in_*.npy", "data/in_?.npy"),
    "source.target": ("datasets.boxes.source.target", "data/out_*.npy", "data/out_?.npy"),
    "folds.by": ("datasets.boxes.folds.by", "sample", "group"),
    "folds.given": ("datasets.boxes.folds", {"count": 2}, {"given": [["0000", "0001"], ["0002", "0003", "0004"]]}),
    "folds.run": ("datasets.boxes.folds.run", None, [0]),
    "dataset": ("experiments.tiny.dataset", "boxes", "other"),
    "experiments": ("experiments.wide", None, {**TINY["experiments"]["tiny"], "loss": "mae"}),
    "crops.step": ("experiments.tiny.crops.step", None, 4),
    "crops.start": ("experiments.tiny.crops", {"size": 4}, {"size": 4, "start": 4}),
    "crops.stop": ("experiments.tiny.crops", {"size": 4}, {"size": 4, "stop": 4}),
    "crops.halo": ("experiments.tiny.crops", {"size": 4}, {"size": 4, "halo": 10}),
    "crops.target_halo": ("experiments.tiny.crops", {"size": 4}, {"size": 4, "target_halo": 2}),
    "crops.size": ("experiments.tiny.crops.size", 8, 4),
    "loss.weight": ("experiments.tiny.loss", ["mse", "mae"], ["mse", {"name": "mae", "weight": 2.0}]),
    "styles": ("experiments.tiny.styles", {"omega_m": {}}, {"omega_m": {}, "redshift": {}}),
    "styles.shift": ("experiments.tiny.styles.omega_m", {}, {"shift": 0.5}),
    "styles.spread": ("experiments.tiny.styles.omega_m", {}, {"spread": 0.5}),
    "schedule.milestones": ("experiments.tiny.schedule.milestones", [7], [8]),
    "optimizer.groups": ("experiments.tiny.optimizer.groups", None, [{"match": "bias", "lr": 1.0e-4}]),
    "task.adversarial.optimizer.adamw.groups": (
        "experiments.tiny.task.optimizer",
        {"name": "adamw"},
        {"name": "adamw", "groups": [{"match": "bias", "weight_decay": 0.0}]},
    ),
    "inference.tile": ("experiments.tiny.inference.tile", None, 4),
    "training.augment": ("experiments.tiny.training.augment", ["flip"], ["flip", "permute"]),
    "training.initial_weights.path": ("experiments.tiny.training.initial_weights", *WEIGHTS),
    "training.initial_weights.strict": (
        "experiments.tiny.training.initial_weights",
        {"path": "data/one.pt", "strict": True},
        {"path": "data/one.pt", "strict": False},
    ),
    "training.average.last": ("experiments.tiny.training.average", None, {"last": 3}),
    "training.device": ("experiments.tiny.training.device", "auto", "cpu"),
    "predictions.experiment": ("predictions.new.experiment", "tiny", "again"),
    "predictions.dataset": ("predictions.new.dataset", "other", "third"),
    "predictions.folds": ("predictions.new.folds", [0], [0, 1]),
    "predictions.draws": ("predictions.new.draws", None, 2),
    "predictions.cell_tolerance": ("predictions.new.cell_tolerance", None, 0.5),
    "predictions.write.kind": ("predictions.held.write", "npy", "hdf5"),
    "predictions.write.path": ("predictions.held.write", {"kind": "npy"}, {"kind": "npy", "path": "{id}_out.npy"}),
    "predictions.write.dtype": ("predictions.held.write", {"kind": "npy"}, {"kind": "npy", "dtype": "float64"}),
    "ablations.of": ("ablations.width.of", "tiny", "wide"),
    "ablations.vary": ("ablations.width.vary", {"model.width": [3]}, {"model.width": [3, 4]}),
    "ablations.variants": ("ablations.width", _by_name("narrow"), _by_name("narrow", "wide")),
    "ablations.draw": ("ablations.width.draw", {"model.width": [3]}, {"model.width": [4]}),
    "ablations.random.count": ("ablations.width.random.count", 1, 2),
    "ablations.search.trials": ("ablations.width.search.trials", 2, 3),
    "plugins": ("plugins", [], ["mine.py"]),
    "results": ("results", "results", "elsewhere"),
    "report.sections": ("report.sections", None, ["summary"]),
}  # fmt: skip


def leaves() -> dict[str, dict]:
    """Path -> node, of all keys of the schema that hold no others; of what options of a task choose, one a kind."""
    nodes = {path: node for path, node in schema.nodes().items() if not _is_told(chosen(path).split("."))}
    inner = {path[: match.start()] for path in nodes for match in re.finditer(r"\.", path)}
    return {path: node for path, node in nodes.items() if path not in inner - {"datasets", "experiments"}}


def _is_told(parts: list[str]) -> bool:
    return parts[0] == "task" and len(parts) > 3 and parts[3] != TOLD.get(parts[2], parts[3])


def plain(path: str) -> str:
    """The key as the README says it: `model.width` for `experiments.<name>.model.vnet.width`."""
    parts = re.sub(r"^(datasets|experiments)\.<name>\.", "", path).replace(".<name>", "").split(".")
    at = next((i for i, part in enumerate(parts[:2]) if part in CHOICES), None)
    if at is not None and len(parts) > at + 2:
        del parts[at + 1]
    return ".".join(parts)


def chosen(path: str) -> str:
    """`model.vnet.width`: the key with the name that is chosen."""
    return re.sub(r"^(datasets|experiments)\.<name>\.", "", path).replace(".<name>", "")


def base(path: str) -> dict:
    """The tiny config, changed so that the key at `path` has a say."""
    raw = copy.deepcopy({**TINY, "ablations": {"tuned": SEARCH}, "report": {}})
    raw["datasets"]["other"] = copy.deepcopy(TINY["datasets"]["boxes"])
    raw["datasets"]["other"]["source"]["seed"] = 5
    tiny = raw["experiments"]["tiny"]
    raw["experiments"]["beside"] = {**copy.deepcopy(tiny), "dataset": "other"}
    parts = chosen(path).split(".")
    raw["predictions"] = {"held": {"experiment": "tiny", "folds": [0], "write": "npy"}}
    if parts[0] not in ("datasets", "source", "dataset"):
        raw["predictions"]["new"] = {"experiment": "tiny", "dataset": "other", "folds": [0]}
    if parts[0] == "predictions":
        raw["datasets"]["third"] = copy.deepcopy(raw["datasets"]["other"])
        raw["predictions"]["more"] = {"experiment": "tiny", "dataset": "third"}
        raw["experiments"]["again"] = {**copy.deepcopy(tiny), "loss": "mae"}
    if parts[-1] == "draws":
        raw["datasets"]["boxes"]["source"] = dict(FILES)  # as fine as the model makes them
        tiny["model"] = {"name": "stylegan2_generator", "scale": 2, "width": 2}
    if told := _labels_of(parts):
        raw["datasets"]["boxes"]["source"] = copy.deepcopy(LABELLED.get(parts[1], GRAVITY))
        tiny.update(task=told, crops={"kind": "slices"}, model="racoon", normalize={"input": "standardise"})
        del raw["predictions"]
    if parts[0] in ("datasets", "source") or told:  # what tells labels is not exported, and nothing beside it
        del raw["datasets"]["other"], raw["experiments"]["beside"]
    if parts[0] == "source" and parts[1] not in ("nbody", *LABELLED):
        raw["datasets"]["boxes"]["source"] = {**FILES, "kind": parts[1]}
        tiny["model"]["padding"] = "zero"
    elif parts[0] == "normalize" and len(parts) > 2:
        tiny["normalize"] = {"input": {}, "target": {}}
    elif parts[0] == "evaluation" and told:
        tiny["evaluation"] = [{"name": parts[1]}]
    elif parts[0] in ("model", "loss", "optimizer", "schedule") and len(parts) == 3:
        tiny[parts[0]] = {"name": parts[1], **_needed(parts[0], parts[1])}
        if parts[0] == "model" and is_styled(parts[1]):
            tiny["styles"] = {"omega_m": {}, "growth": {}}
        if parts[0] == "model" and not told and "scale" in registry.find("model", parts[1]).options:
            raw["datasets"]["boxes"]["source"] = dict(FILES)  # which may be as fine as any model makes them
        if parts[0] == "loss" and not told:
            tiny["normalize"]["target"] = "identity"  # which every loss takes
    elif parts[0] == "task" and not told:
        _let_judge(raw, parts)
    elif parts[0] == "styles":
        tiny.update(model={"name": "styled_vnet", **MODEL}, styles={"omega_m": {}})
    elif parts[0] == "evaluation":
        tiny["evaluation"] = ["mean_square_error", "power_spectrum"]
        if parts[2] != "name":
            tiny["evaluation"].append({"name": parts[1]})
    elif parts[0] == "ablations":
        way = parts[1] if parts[1] in WAYS else "vary"
        raw["ablations"]["width"] = {"of": "tiny", **copy.deepcopy(WAYS[way])}
        raw["experiments"]["wide"] = {**copy.deepcopy(tiny), "loss": "mae"}
    elif parts[:2] == ["report", "sections"] and len(parts) == 4:
        raw["report"] = {"sections": [{"name": parts[2]}]}
    return raw


def _labels_of(parts: list[str]) -> dict | None:
    """The task that a key belongs to, if it is of labels."""
    kinds = {"model": "encoder", "loss": "label_loss", "evaluation": "label_baseline"}
    if parts[0] in kinds and len(parts) == 3 and parts[1] in registry.entries(kinds[parts[0]]):
        answer = registry.load("label_fit", parts[1])().kind if parts[0] == "loss" else "binary"
        return dict(ASKED[answer])
    if parts[0] == "source" and parts[1] in LABELLED:
        return dict(ASKED["binary"])
    is_own = parts[:2] == ["task", "field_to_label"] or parts in (
        ["crops", key] for key in ("kind", "axes", "thickness")
    )
    return dict(ASKED["binary"]) if is_own else None


def _let_judge(raw: dict, parts: list[str]) -> None:
    """The task with the name that is chosen, and crops that any discriminator takes."""
    for dataset in raw["datasets"].values():
        dataset["source"]["mesh"] = 40
    for experiment in raw["experiments"].values():
        experiment["crops"]["size"] = 40
    task = {"name": parts[1], **copy.deepcopy(REQUIRED.get(parts[1], {}))}
    task |= {"noise": 0.1} if parts[-1] == "noise_epochs" else {}
    task |= {parts[2]: {"name": parts[3]}} if len(parts) > 3 else {}
    raw["experiments"]["tiny"]["task"] = task


def edited(path: str, node: dict) -> tuple[dict, dict] | None:
    """A config and another one that differs in the key at `path` alone; None if the key has but one value."""
    special = SPECIAL.get(chosen(path)) or SPECIAL.get(plain(path))
    for place, before, after in [special] if special else _places(path, node):
        one, other = put(base(path), place, before), put(base(path), place, after)
        if all(map(_is_taken, (one, other))) and _meaning(one) != _meaning(other):
            return one, other
    return None


def put(raw: dict, place: str, value) -> dict:
    """`raw` with `value` at a path with points, or without that key if it is None."""
    *parents, last = place.split(".")
    node = raw
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return raw


def _places(path: str, node: dict) -> Iterator[tuple]:
    """(path in the config, before, after) of the edits that the schema of a key allows."""
    parts, section = chosen(path).split("."), path.split(".")[0]
    before = {"datasets": "datasets.boxes.", "experiments": "experiments.tiny."}.get(section, "")
    if parts[0] == "evaluation":
        if parts[2] == "name":
            metrics = ["mean_square_error", "power_spectrum"]
            more = [m for m in metrics if m != parts[1]]
            yield "experiments.tiny.evaluation", more, [*more, parts[1]]
        place = f"experiments.tiny.evaluation.{0 if _labels_of(parts) else 2}.{parts[2]}"
    elif parts[:2] == ["report", "sections"]:
        if parts[3] == "name":
            yield "report.sections", ["summary" if parts[2] != "summary" else "bins"], [parts[2]]
        place = f"report.sections.0.{parts[3]}"
    elif parts[0] == "ablations":
        place = f"ablations.width.{plain(path).removeprefix('ablations.')}"
    elif parts[0] == "task" and len(parts) > 3:
        place = f"experiments.tiny.task.{parts[2]}"
        if parts[4] == "name":
            others = [name for name in registry.entries(parts[2]) if name not in (parts[3], *REQUIRED)]
            yield from ((place, {"name": other}, {"name": parts[3]}) for other in others)
        place = f"{place}.{parts[4]}"
    elif parts[-1] == "name":
        kind = "encoder" if parts[0] == "model" and _labels_of(parts) else parts[0]
        others = [name for name in registry.entries(kind) if name != parts[1]]
        for other in others:
            one, two = ({"name": n, **_needed(parts[0], n)} for n in (other, parts[1]))
            yield before + parts[0], one, two
        return
    else:
        place = before + plain(path)
    for value in values(node):
        yield place, None, value


def _needed(key: str, name: str) -> dict:
    """The options that a choice needs to be taken."""
    return _model(name) if key == "model" else REQUIRED.get(name, {})


def _model(name: str) -> dict:
    """Small options of a model, as far as it has them."""
    entry = registry.entries("encoder").get(name) or registry.find("model", name)
    return {key: value for key, value in MODEL.items() if key in entry.options}


def values(node: dict) -> Iterator:
    """Values that a node of the schema takes, or nearly: not all are possible with all other keys."""
    for option in node.get("anyOf", [node]):
        default, kind = node.get("default"), option.get("type")
        yield from option.get("enum", [])
        if kind == "boolean":
            yield from (True, False)
        elif kind == "integer":
            yield from ((default or 0) + 1, 2, 3, 4)
        elif kind == "number":
            yield from ((default or 0.0) / 2, (default or 0.0) * 1.5, 0.25, 2.0)
        elif kind == "string":
            yield "Another"
        elif kind == "array":
            yield from ([value] for value in values(option.get("items", {})))


def _is_taken(raw: dict) -> bool:
    try:
        door.check(config.parse(raw))
    except M2MError:
        return False
    return True


def _meaning(raw: dict) -> dict:
    return config.parse(raw).model_dump()


def furnish(folder: Path) -> None:
    """The files that the edits name: nothing is read of them but their names and dates."""
    (folder / "data").mkdir()
    for i in range(4):
        for side in ("in", "out"):
            (folder / f"data/{side}_{i}.npy").write_bytes(b"nothing")
    for name in ("0_gr_a", "0_gr_b", "0_newton_a", "0_newton_b"):
        (folder / f"data/{name}.npy").write_bytes(b"nothing")
    (folder / "data/numbers.csv").write_text("id,sigma_8\n")
    for name in ("one", "other"):
        (folder / f"data/{name}.pt").write_bytes(name.encode())
    (folder / "mine.py").write_text(PLUGIN)
