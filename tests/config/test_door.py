"""The door: what is refused before any job because keys do not agree with each other."""
# ruff: noqa: E501 (errors stand here as they are printed)

import pytest

from m2m_core import config, door
from m2m_core.errors import ConfigError
from tests.config.making import changed, small

E, D = "experiments/vnet", "datasets/nbody"
FILES = {"kind": "npy", "input": "a", "target": "b"}

SUPER = {"dataset": "nbody", "crops": {"size": 16}, "model": {"name": "stylegan2_generator", "scale": 2}}
VELOCITY = {"dataset": "nbody", "crops": {"size": 32}, "model": "displacement_velocity"}


def check(path, value, raw=None):
    return door.check(config.parse(changed(path, value, raw)))


@pytest.mark.parametrize(
    "path, value, line",
    [
        (f"{E}/model", {"name": "vnet", "depth": 7}, "experiments.vnet.model.depth: 7; at most 6"),
        (f"{E}/crops/size", 30, "experiments.vnet.crops.size: 30; the model takes multiples of 4, nearest 28 or 32"),
        (f"{E}/crops/size", 64, "experiments.vnet.crops.size: 64, but sample '0000' has 32 voxels along an axis; expected 32"),
        (f"{E}/crops", {"size": 32, "step": 40}, "experiments.vnet.crops.step: 40 leaves gaps between crops of 32; at most 32"),
        (f"{E}/crops/size", [32, 32], "experiments.vnet.crops.size: 2 numbers for fields with 3 axes; expected one, or one an axis"),
        (f"{E}/inference", {"tile": 30}, "experiments.vnet.inference.tile: 30; the model takes multiples of 4, nearest 28 or 32"),
        (f"{E}/inference", {"tile": [16]}, "experiments.vnet.inference.tile: 1 numbers for fields of 3 axes; expected one an axis"),
        (f"{E}/inference", {"tile": 16, "overlap": 12}, "experiments.vnet.inference.overlap: 12 voxels of tiles of 16; expected at most 8"),
        (f"{E}/inference", {"tile": 16, "overlap": [6, 0, 0]}, "experiments.vnet.inference.overlap: 6; the model takes multiples of 4, nearest 4 or 8"),
        (f"{E}/inference", {"overlap": [4, 4]}, "experiments.vnet.inference.overlap: 2 numbers for fields with 3 axes; expected one, or one an axis"),
        (f"{E}/inference/draws", 4, "experiments.vnet.inference.draws: 4, but model.name 'vnet' takes no noise and predicts the same each time; expected 1, or a generator such as stylegan2_generator"),
        ("predictions", {"p": {"experiment": "vnet", "draws": 4, "write": "npy"}}, "predictions.p: draws without dataset; expected those of held-out samples as inference.draws"),
        (f"{D}/source/mesh", 2, "datasets.nbody.source.mesh: got 2; expected an integer from 4 to 4096"),
        (f"{D}/source/coarsen", 3, "datasets.nbody.source.coarsen: 3, of a mesh of 32 cells; expected one of 1, 2, 4, 8"),
        (f"{D}/source/coarsen", 2, "experiments.vnet.crops.scale_factor: 1, as the model makes it, but the input of sample '0000' has edges (16, 16, 16), its target (32, 32, 32)"),
        (E, SUPER | {"model": {"name": "stylegan2_generator", "scale": 4}}, "experiments.vnet.crops.scale_factor: 4, as the model makes it, but the input of sample '0000' has edges (32, 32, 32), its target (32, 32, 32)"),
        (E, SUPER | {"crops": {"size": 16, "scale_factor": 4}}, "experiments.vnet.crops.scale_factor: 4, but the model makes 2 voxels of each, along an axis; expected 2"),
        (E, SUPER | {"model": {"name": "vnet"}, "crops": {"size": 8, "halo": 19}}, "experiments.vnet.crops.halo: 19, but the model reads 20 voxels on each side of what it makes; expected at least 20"),
        (f"{E}/crops", {"size": 32, "target_halo": 4}, "experiments.vnet.model.padding: periodic, which closes whole boxes on themselves, but there is a halo around them; expected valid or zero"),
        (E, SUPER | {"model": {"name": "vnet", "padding": "zero"}, "crops": {"size": 8, "halo": [[1, 3], 2, 2]}, "inference": {"tile": 30}}, "experiments.vnet.inference.tile: 34; the model takes multiples of 4, nearest 32 or 36"),
        (f"{E}/crops", {"size": 32, "halo": [1, [2]]}, "experiments.vnet.crops.halo"),
        (f"{D}/source", {**FILES, "periodic": [True, False]}, "experiments.vnet.model.padding: periodic, but the dataset is not"),
        (f"{D}/source/redshift", -0.5, "datasets.nbody.source.redshift: got -0.5; expected a number from 0 to 1000"),
        (f"{D}/source/omega_b", 0.4, "datasets.nbody.source.omega_b: 0.4; expected less than omega_m, which is 0.3175"),
        (f"{D}/folds", {"given": [["0000", "0001"], ["0001"]]}, "datasets.nbody.folds: in more than one place: '0001'"),
        (f"{D}/folds", {"given": [["0000"], ["0001"]]}, "datasets.nbody.folds: in no fold: '0002', '0003'"),
        (f"{D}/source", {**FILES, "periodic": False}, "experiments.vnet.model.padding: periodic, but the dataset is not"),
        (f"{E}/training", {"batch_size": 3, "gpus": 2, "nodes": 2}, "experiments.vnet.training.batch_size: 3, for 4 processes (training.gpus x training.nodes); expected at least 4"),
        (f"{E}/training", {"device": "cuda:1", "gpus": 2}, "experiments.vnet.training.device: cuda:1 for 2 processes; expected auto, cuda or cpu"),
        (f"{E}/styles", {"omega_m": {}}, "experiments.vnet.styles: omega_m, but model.name 'vnet' takes none; expected displacement_velocity or styled_vnet"),
        (f"{E}/model", "styled_vnet", "experiments.vnet.styles: none, but model.name 'styled_vnet' needs some, such as omega_m or growth"),
        (E, small()["experiments"]["vnet"] | {"model": "styled_vnet", "styles": {"omega_b": {}}}, "experiments.vnet.styles.omega_b: the samples have no such number; did you mean 'omega_m'?"),
        (E, VELOCITY | {"styles": {"redshift": {}}}, "experiments.vnet.styles.redshift: model.name 'displacement_velocity' takes omega_m and growth alone"),
        (E, VELOCITY | {"styles": {"growth": {}}}, "experiments.vnet.styles: no omega_m, but model.name 'displacement_velocity' needs omega_m"),
        (E, VELOCITY | {"styles": {"growth": {"shift": 0.5}}}, "experiments.vnet.styles.growth.shift: 0.5, but model.name 'displacement_velocity' takes it as it is; expected 0"),
        (f"{D}/source", {**FILES, "quantities": {"inptu": "vector"}}, "datasets.nbody.source.quantities.inptu: no such field or part; did you mean 'input'?"),
        (f"{D}/source", {**FILES, "target": {"psi": "b"}, "quantities": {"input.psi": "vector"}}, "datasets.nbody.source.quantities"),
        (f"{E}/training/initial_weights", "none.pt", "experiments.vnet.training.initial_weights: no such file 'none.pt'; expected a path from /"),
        (f"{E}/training/initial_weights", ".", "experiments.vnet.training.initial_weights: no such file '.'; expected"),
        (f"{E}/training", {"detect_anomaly": True, "precision": "fp16"}, "experiments.vnet.training.detect_anomaly: true, with precision fp16"),
        (f"{E}/normalize", {"input": {"psi": "velocity"}}, "experiments.vnet.normalize.input.psi: no such part; known: none"),
        (f"{E}/task", {"name": "adversarial", "discriminator": "patchgam"}, "experiments.vnet.task.discriminator: unknown discriminator 'patchgam'; did you mean 'patchgan'?"),
        (f"{E}/task", {"name": "adversarial", "discriminator": {"width": 3}}, "experiments.vnet.task.discriminator.name: missing; known: patchgan, patchgan42, stylegan2_discriminator"),
        (f"{E}/task", {"name": "adversarial", "discriminator": {"name": "patchgan", "widht": 3}}, "experiments.vnet.task.discriminator.widht: 'patchgan' has no such key; did you mean 'width'?"),
        (f"{E}/task", {"name": "adversarial", "discriminator": 3}, "experiments.vnet.task.discriminator: got 3; expected the name of a discriminator, or a mapping with name and options"),
        (f"{E}/task", {"name": "adversarial", "discriminator": "stylegan2_discriminator"}, "experiments.vnet.task.discriminator: stylegan2_discriminator: a field of (32,); edges are at least 36"),
        (f"{E}/task", {"name": "adversarial", "criterion": {"name": "hinge", "gradient_penalty": 10.0}}, "experiments.vnet.task.criterion.gradient_penalty: 'hinge' has no such key; known: none"),
        (f"{E}/task", {"name": "adversarial", "optimizer": {"name": "adam", "lr": -1.0}}, "experiments.vnet.task.optimizer.lr: got -1.0; expected a number above 0"),
        (f"{E}/task", {"name": "adversarial", "schedule": "cosin"}, "experiments.vnet.task.schedule: unknown schedule 'cosin'; did you mean 'cosine'?"),
        (f"{E}/task", {"name": "adversarial", "start": 30}, "experiments.vnet.task.start: 30, but training.epochs 30; expected fewer"),
        (f"{E}/task", {"name": "adversarial", "supervised": 0.0, "start": 3}, "experiments.vnet.task.supervised: 0, but nothing else trains before epoch 3; expected a number above 0"),
        (f"{E}/task", {"name": "adversarial", "supervised": 0.0, "weight": 0.0}, "experiments.vnet.task.supervised: 0, but so is task.weight; expected a number above 0"),
        (E, small()["experiments"]["vnet"] | {"task": {"name": "adversarial", "criterion": "wasserstein"}, "training": {"compile": True}}, "experiments.vnet.training.compile: true, with task.criterion.gradient_penalty: no second derivatives; expected false"),
        (f"{E}/task", {"name": "adversarial", "noise_epochs": 3.0}, "experiments.vnet.task.noise_epochs: without task.noise; expected its standard deviation"),
        (f"{E}/task", {"name": "adversarial", "optimizer": {"name": "rprop", "groups": [{"match": "a"}, {"match": "b", "weight_decay": 0.1}]}}, "experiments.vnet.task.optimizer.groups[1].weight_decay: 'rprop' knows none; expected match and lr"),
        (E, small()["experiments"]["vnet"] | {"schedule": "plateau", "training": {"validation": None}}, "experiments.vnet.schedule.name: 'plateau' watches scores, but training.validation is null; expected keys"),
        (E, small()["experiments"]["vnet"] | {"task": {"name": "adversarial", "schedule": "plateau"}, "training": {"validation": None}}, "experiments.vnet.task.schedule.name: 'plateau' watches scores"),
        (E, small()["experiments"]["vnet"] | {"task": {"name": "adversarial", "choose": "loss"}, "training": {"validation": None}}, "experiments.vnet.task.choose: loss, but training.validation is null; expected last, or scores"),
        (E, small()["experiments"]["vnet"] | {"task": {"name": "adversarial", "choose": "spectrum"}, "training": {"epochs": 3, "validation": {"every": 4}}}, "experiments.vnet.task.choose: spectrum, but training.validation is every 4 of 3 epochs, so never"),
        (f"{E}/model", {"name": "stylegan2_generator", "scale": "8"}, "experiments.vnet.model.scale: got '8'; expected 2, 4, 8, 16 or 32; write it without quotes"),
        (f"{E}/model", {"name": "stylegan2_generator", "scale": "many"}, "experiments.vnet.model.scale: got 'many'; expected 2, 4, 8, 16 or 32"),
        (f"{E}/task", {"name": "field_to_field", "start": 3}, "experiments.vnet.task.start: 'field_to_field' has no such key; known: none"),
        ("ablations", {"d": {"of": "vnet", "vary": {"model.depth": [2, 7]}}}, "ablations.d (model.depth = 7): experiments.vnet.model.depth: 7; at most 6"),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(path, value, line):
    with pytest.raises(ConfigError) as caught:
        check(path, value)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    "path, value",
    [
        (E, small()["experiments"]["vnet"] | {"model": "styled_vnet", "styles": {"omega_m": {}, "growth": {"shift": 0.0}}}),
        (f"{E}/inference", {"tile": 1000}), (f"{E}/crops/size", [32, 32, 32]), (f"{D}/source", FILES),
        (f"{D}/folds", {"given": [[f"{i:04d}" for i in range(6)], [f"{i:04d}" for i in range(6, 12)]]}),
        (f"{E}/model", {"name": "unet", "padding": "zero", "depth": 5}),
        (E, SUPER | {"model": {"name": "vnet", "padding": "zero"}, "crops": {"size": 8, "halo": [[1, 3], 2, 2], "target_halo": 1}}),
    ],
)  # fmt: skip
def test_what_agrees_is_let_in_unchanged(path, value):
    found = config.parse(changed(path, value))
    assert door.check(found) is found


@pytest.mark.parametrize(
    "parts, problem",
    [
        ({"psi": "displacement", "v": "velocity"}, None), ("standardise", None),
        ({"psi": "displacement"}, r"normalize.input.v: missing; expected each part of the field"),
        ({"psi": "displacement", "vel": "velocity"}, r"normalize.input.vel: no such part; known: psi, v"),
    ],
)  # fmt: skip
def test_normalised_parts_are_those_of_the_field(parts, problem):
    files = {**FILES, "input": {"v": "v", "psi": "psi"}}
    raw = changed(f"{E}/normalize", {"input": parts}, changed(f"{D}/source", files))
    if problem is None:
        check("results", "x", raw)
    else:
        with pytest.raises(ConfigError, match=problem):
            check("results", "x", raw)


@pytest.mark.parametrize("transform, padding, fits", [
    ("log", "valid", False), (["log1p", "log"], "valid", False), (["exp", "log"], "valid", True), ("log", "zero", True)
])  # fmt: skip
def test_zeros_around_an_open_box_are_in_the_domain_of_the_input(transform, padding, fits):
    open_box = changed(f"{D}/source", {**FILES, "periodic": [True, False]})
    raw = changed(f"{E}/model", {"name": "vnet", "padding": padding}, open_box)
    normal = {"input": {"transform": transform}}
    if fits:
        check(f"{E}/normalize", normal, raw)
    else:
        with pytest.raises(
            ConfigError, match=r"^experiments.vnet.normalize.input.transform: .*log, but zeros lie around"
        ):
            check(f"{E}/normalize", normal, raw)


@pytest.mark.parametrize("size, fits", [(128, True), ([64, 64], True), (126, False), ([64, 62], False)])
def test_crops_of_files_are_checked_against_the_model(size, fits):
    raw = changed(f"{D}/source", FILES, changed(f"{E}/crops/size", size))
    if fits:
        check("results", "x", raw)
    else:
        with pytest.raises(ConfigError, match=r"experiments.vnet.crops.size: \d+; the model takes multiples of 4"):
            check("results", "x", raw)


@pytest.mark.parametrize(
    "judge, size, batch, fits",
    [("patchgan42", 22, 1, False), ("patchgan42", 22, 2, True), ("patchgan42", 30, 1, True), ("patchgan", 10, 1, True)],
)
def test_a_batch_normalisation_gets_two_values_a_channel(judge, size, batch, fits):
    chosen = SUPER | {
        "crops": {"size": size}, "model": {"name": "vnet", "depth": 1, "padding": "zero"},
        "task": {"name": "adversarial", "discriminator": judge}, "training": {"batch_size": batch},
    }  # fmt: skip
    raw = changed(f"{D}/source", FILES)
    if fits:
        check(E, chosen, raw)
        return
    with pytest.raises(ConfigError) as caught:
        check(E, chosen, raw)
    line = "experiments.vnet.training.batch_size: 1, of which batch normalisation in task.discriminator gets one value"
    assert str(caught.value) == f"{line} a channel; expected 2, larger crops, or normalization group or none"


def test_lists_of_ids_may_not_overlap_whatever_the_files():
    raw = changed(f"{D}/folds", {"given": [["a"], ["a", "b"]]}, changed(f"{D}/source", FILES))
    with pytest.raises(ConfigError, match="datasets.nbody.folds: in more than one place: 'a'"):
        door.check(config.parse(raw))


PLUGIN = """
import torch_that_only_the_jobs_have
from m2m_core.options import Count
from m2m_core.registry import register
@register("model", "mine")
def mine(i, o, d, *, depth: Count = 1): ...
"""
GEOMETRY = """
@register("geometry", "mine")
def geometry(*, depth: Literal[1, 2] = 1): ...
"""


def test_a_model_has_to_tell_its_halo_but_a_plugin_is_not_run_for_it(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    raw = changed("plugins", [str(tmp_path / "mine.py")], changed(f"{E}/model", {"name": "mine", "depth": 3}))
    with pytest.raises(ConfigError, match="experiments.vnet.model.name: 'mine' does not say its halo"):
        door.check(config.parse(raw))
    (tmp_path / "mine.py").write_text(PLUGIN + GEOMETRY)
    with pytest.raises(ConfigError, match=r"experiments.vnet.model.depth: got 3; expected 1 or 2"):
        door.check(config.parse(raw))
    door.check(config.parse(changed(f"{E}/model/depth", 2, raw)))


def test_the_small_config_is_let_in():
    door.check(config.parse(small()))


# ---- searches

LR = {"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
START = "ablations.s"


def searched(draw, of=None, **chosen):
    raw = changed("experiments/vnet/training", of or {})
    return changed("ablations", {"s": {"of": "vnet", "draw": draw, "search": {"trials": 3, **chosen}}}, raw)


def test_a_search_over_model_optimizer_schedule_and_training_is_let_in():
    draw = LR | {"model.depth": [1, 2], "model": ["unet", "vnet"], "schedule": ["cosine", "constant"]}
    draw |= {
        "training.batch_size": {"low": 1, "high": 4},
        "training.ema": [None, 0.99],
        "training.augment": [[], ["flip"]],
    }
    door.check(config.parse(searched(draw)))


def test_a_search_over_the_options_of_a_task_and_over_styles_is_let_in():
    task = {"name": "adversarial", "choose": "spectrum", "discriminator": {"name": "patchgan", "width": 4}}
    of = changed("experiments/vnet/task", task)["experiments"]["vnet"]
    draw = {"task.weight": {"low": 1e-3, "high": 1e-1, "log": True}, "task.criterion": ["hinge", "wasserstein"]}
    draw |= {"task.discriminator.width": [4, 8], "task.start": {"low": 0, "high": 29}}
    probes = door.check(config.parse(search_of(of, draw))).probes["s"]
    found = [experiment.task for _, experiment in probes]
    assert {task["discriminator"]["width"] for task in found} == {4, 8} and {t["weight"] for t in found} == {1e-3, 1e-1}
    assert {task["criterion"]["name"] for task in found} == {"hinge", "wasserstein"}
    styled = small()["experiments"]["vnet"] | {"model": "styled_vnet", "styles": {"omega_m": {}}}
    door.check(config.parse(search_of(styled, {"styles": [{"omega_m": {}}, {"omega_m": {}, "growth": {}}]})))


def search_of(experiment, draw):
    raw = changed("experiments/vnet", experiment)
    return changed("ablations", {"s": {"of": "vnet", "draw": draw, "search": {"trials": 3}}}, raw)


ADVERSARIAL = small()["experiments"]["vnet"] | {"task": {"name": "adversarial", "choose": "loss"}}
LAST = small()["experiments"]["vnet"] | {"task": {"name": "adversarial"}}
OTHERS = "expected a key of model, optimizer, schedule, styles, task or training"


@pytest.mark.parametrize(
    "raw, line",
    [
        (searched({"crops.size": [16]}), f"{START}.draw.crops.size: trials share what the stages before training make; vary it instead; {OTHERS}"),
        (searched({"normalize.target": ["minmax"]}), f"{START}.draw.normalize.target: trials share what the stages before training make; vary it instead; {OTHERS}"),
        (searched({"evaluation": [["one_point"]]}), f"{START}.draw.evaluation: changes no score of a trial; vary it instead; {OTHERS}"),
        (searched({"inference.tile": [16]}), f"{START}.draw.inference.tile: changes no score of a trial; vary it instead; {OTHERS}"),
        (searched({"task": ["adversarial"]}), f"{START}.draw.task: decides what the scores of trials are of; vary it instead; {OTHERS}"),
        (search_of(ADVERSARIAL, {"task.choose": ["spectrum"]}), f"{START}.draw.task.choose: decides what the scores of trials are of; vary it instead; {OTHERS}"),
        (search_of(ADVERSARIAL, {"task.start": {"low": 1, "high": 30}}), f"{START} (task.start = 30): experiments.vnet.task.start: 30, but training.epochs 30; expected fewer"),
        (search_of(LAST, {"task.weight": [0.1, 1.0]}), f"{START} (task.weight = 0.1): experiments.vnet.task.choose: last, a model whatever its score, but the search compares scores; expected spectrum or loss"),
        (searched({"task.weight": [0.1]}), f"{START}.draw.task.weight: no such key 'weight'; known: name"),
        (searched({"loss": ["mae"]}), f"{START}.draw.loss: trials are compared by their loss, so it cannot differ; vary it instead; {OTHERS}"),
        (searched({"training.validation.fraction": [0.2]}), f"{START}.draw.training.validation.fraction: decides on which samples trials are compared; {OTHERS}"),
        (searched({"training.seed": [1]}), f"{START}.draw.training.seed: decides on which samples trials are compared; {OTHERS}"),
        (searched({"training.workers": [1]}), f"{START}.draw.training.workers: changes no result; {OTHERS}"),
        (searched({"model.depth": [2, 6]}), f"{START} (model.depth = 6): experiments.vnet.crops.size: 32; the model takes multiples of 64"),
        (searched({"model.depth": {"low": 1, "high": 9}}), f"{START} (model.depth = 9): experiments.vnet.model.depth: 9; at most 6"),
        (searched(LR, fold=3), f"{START}.search.fold: 3 of 3 folds; expected 0 to 2"),
        (searched(LR, {"validation": None}), f"{START} (optimizer.lr = 0.0001): experiments.vnet.training.validation: null, but a search compares validation scores; expected keys"),
        (searched({"training.batch_size": [1, 4]}, {"gpus": 2}), f"{START} (training.batch_size = 1): experiments.vnet.training.batch_size: 1, for 2 processes"),
        (searched({"optimizer": ["adam", {"name": "rprop", "groups": [{"match": "a", "weight_decay": 0.1}]}]}), f"{START} (optimizer = "),
        (searched({"training.epochs": [40, 2]}, {"validation": {"every": 4}}), f"{START} (training.epochs = 2): experiments.vnet.training.validation.every: 4, but 2 epochs; at most 2"),
    ],
)  # fmt: skip
def test_the_line_of_a_search_that_is_refused(raw, line):
    with pytest.raises(ConfigError) as caught:
        door.check(config.parse(raw))
    assert str(caught.value).startswith(line)
