"""Weighted sums of losses: what the config takes, what the door refuses, what reaches a loss and the history."""
# ruff: noqa: E501 (errors stand here as they are printed)

import csv
import json
import subprocess
import sys
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import safetensors.torch
import torch

from m2m_core import config, door, losses, registry, schema
from m2m_core.errors import ConfigError, DataError
from m2m_core.physics.cosmology import growth
from m2m_core.registry import find
from m2m_core.stages import Stages
from m2m_core.tasks.protocol import build
from tests.config.making import changed, refused, small
from tests.losses.frames import frame_of, random
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study

torch.set_num_threads(1)
E, D = "experiments/vnet", "datasets/nbody"
SUM = ["mae", {"name": "huber", "delta": 0.5, "weight": 2.0}]
MOVING = {"target": {"motion": 3, "velocity": 3}, "input": 3}
KINDS = {"motion": "displacement", "velocity": "vector"}


def chosen(loss, raw=None):
    return config.parse(changed(f"{E}/loss", loss, raw)).experiments["vnet"].loss


# ---- the config


def test_a_single_loss_is_what_it_was():
    assert chosen("mse") == {"name": "mse"} == config.parse(small()).experiments["vnet"].loss
    assert chosen({"name": "huber", "delta": 0.1}) == {"name": "huber", "delta": 0.1}


def test_a_list_is_completed_by_defaults_and_weights():
    assert chosen(SUM) == [{"name": "mae", "weight": 1.0}, {"name": "huber", "delta": 0.5, "weight": 2.0}]
    assert chosen(["spectral"]) == [{"name": "spectral", "k_min": 0.0, "slope": 0.0, "weight": 1.0}]
    again = config.parse(changed(f"{E}/loss", chosen(SUM)))
    assert again.experiments["vnet"].loss == chosen(SUM)


@pytest.mark.parametrize(
    "loss, line",
    [
        ([], "experiments.vnet.loss: got []; expected the name of a loss, or a mapping with name and options, or a list of such"),
        (3, "experiments.vnet.loss: got 3; expected the name of a loss, or a mapping with name and options, or a list of such"),
        (["mse", "mse"], "experiments.vnet.loss: 'mse' 2 times; expected each once"),
        (["mse", "mea"], "experiments.vnet.loss[1]: unknown loss 'mea'; did you mean"),
        ([{"weight": 1.0}], "experiments.vnet.loss[0].name: missing; known: bce,"),
        ([{"name": "mse", "weight": 0.0}], "experiments.vnet.loss[0].weight: got 0.0; expected a number above 0"),
        ([{"name": "mse", "weight": "1"}], "experiments.vnet.loss[0].weight: got '1'; expected a number above 0; write it without quotes"),
        ([{"name": "huber", "delta": 0.0, "weight": 2.0}], "experiments.vnet.loss[0].delta: got 0.0; expected a number above 0"),
        ({"name": "mse", "weight": 2.0}, "experiments.vnet.loss.weight: of a single loss; expected a list of them to weigh"),
        ("MSELoss", "experiments.vnet.loss: unknown loss 'MSELoss'; did you mean 'mse'?"),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(loss, line):
    assert refused(changed(f"{E}/loss", loss)).startswith(line)


@pytest.mark.parametrize("loss", ["mse", SUM, [{"name": "gradient", "weight": 0.1}], {"name": "huber", "delta": 1.0}])
def test_the_schema_takes_what_the_config_takes(loss):
    jsonschema.Draft202012Validator(schema.json_schema()).validate(changed(f"{E}/loss", loss))


@pytest.mark.parametrize("loss", [[], {"name": "mse", "weight": 1.0}, [{"name": "mse", "delta": 1.0}], [["mse"]]])
def test_the_schema_refuses_what_the_config_refuses(loss):
    raw = changed(f"{E}/loss", loss)
    assert list(jsonschema.Draft202012Validator(schema.json_schema()).iter_errors(raw))
    refused(raw)


def test_ablations_vary_sums_as_a_whole():
    raw = changed("ablations", {"l": {"of": "vnet", "vary": {"loss": ["mse", SUM, [*SUM, "gradient"]]}}})
    found = door.check(config.parse(raw))
    assert list(found.variants) == [
        "l-mse",
        "l-mae-huber-delta0p5-weight2p0",
        "l-mae-huber-delta0p5-weight2p0-gradient",
    ]
    assert found.experiments["l-mae-huber-delta0p5-weight2p0"].loss == chosen(SUM)


def test_a_training_depends_on_the_code_of_every_term_and_on_the_weights():
    def of(loss):
        stages = Stages(config.parse(changed(f"{E}/loss", loss)))
        return stages.training("vnet"), {entry.name for entry in stages._code("vnet") if entry.kind == "loss"}

    assert of("mse")[1] == {"mse"} and of(SUM)[1] == {"mae", "huber"}
    (one, _), (other, _) = of(SUM), of([*SUM, "gradient"])
    assert one["code"] != other["code"]
    (one, _), (other, _) = of(["mae", "mse"]), of(["mae", {"name": "mse", "weight": 3.0}])
    assert one["code"] == other["code"] and one != other
    json.dumps(one, allow_nan=False)


# ---- the door

LABELS = {"transform": "identity", "scaling": "identity"}
FILES = {"kind": "npy", "input": "a", "target": "b"}


def at_the_door(loss, target=None, source=None):
    raw = changed(f"{E}/loss", loss)
    raw = changed(f"{E}/normalize", {"target": target or "standardise"}, raw)
    return door.check(config.parse(changed(f"{D}/source", source, raw) if source else raw))


@pytest.mark.parametrize(
    "loss, target, source, line",
    [
        ("bce", None, None, "'bce': takes probabilities, labels or counts; normalize.target: standardise; expected identity"),
        (["mse", "dice"], "log1p", None, "'dice': takes probabilities, labels or counts; normalize.target: log1p; expected identity"),
        ("eulerian", "log1p", None, "'eulerian': needs values in physical units; normalize.target.transform: log1p; expected identity"),
        ("lagrangian_eulerian", None, FILES, "'lagrangian_eulerian': the target is scalar; expected one displacement in it, see source.quantities"),
        ("momentum", None, {**FILES, "quantities": {"target": "displacement"}}, "'momentum': the target is displacement; expected one vector in it, see source.quantities"),
        ({"name": "spectral", "k_min": 1.0}, None, None, "'spectral': k_min: 1.0 h/Mpc, in crops whose shells end at 1.005 h/Mpc; expected at most 0.9425"),
    ],
)  # fmt: skip
def test_a_target_that_a_loss_cannot_take_is_refused_before_any_job(loss, target, source, line):
    with pytest.raises(ConfigError) as caught:
        at_the_door(loss, target, source)
    assert str(caught.value) == f"experiments.vnet.loss: {line}"


@pytest.mark.parametrize(
    "loss, target, source",
    [
        ("bce", "identity", None),
        (["lagrangian_eulerian", {"name": "spectral", "k_min": 0.3}], "displacement", None),
        ("eulerian", None, {**FILES, "quantities": {"target": "displacement"}}),
        ("eulerian", None, {**FILES, "kind": "hdf5"}),
        ("momentum", None, {**FILES, "target": {"d": "b", "v": "c"}, "quantities": {"d": "displacement", "v": "vector"}}),
        ({"name": "spectral", "k_min": 1.0}, None, FILES),
    ],
)  # fmt: skip
def test_what_may_be_is_let_in(loss, target, source):
    at_the_door(loss, target, source)


def test_the_door_imports_no_torch_for_it():
    raw = changed(f"{E}/normalize", {"target": "displacement"}, changed(f"{E}/loss", ["spectral", "eulerian"]))
    code = f"import sys; from m2m_core import config, door; door.check(config.parse({raw!r})); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_door_runs_no_plugin(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    raw = changed("plugins", [str(tmp_path / "mine.py")], changed(f"{E}/loss", "framed"))
    door.check(config.parse(raw))
    with pytest.raises(ConfigError, match="loss: 'framed': no, not this target"):
        losses.check({"name": "framed"}, losses.Target("identity", "identity"))
    registry.use_plugins([])


PLUGIN = """
from m2m_core.errors import ConfigError
from m2m_core.registry import register

@register("loss", "framed")
def framed(prediction, target, frame):
    return (prediction - target).square().mean() * max(frame.cell)

@register("loss", "plain")
def plain(prediction, target):
    return (prediction - target).square().mean()

@register("requirement", "framed")
def asked(target):
    raise ConfigError("no, not this target")
"""


def test_a_plugin_takes_a_frame_or_does_not(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    registry.use_plugins([str(tmp_path / "mine.py")])
    x, t = random(1, 1, 4, 4), random(1, 1, 4, 4, seed=1)
    plain, framed = (losses.build({"name": name}) for name in ("plain", "framed"))
    assert not plain.wants_frame and framed.wants_frame
    assert framed(x, t, frame_of(x, cell=3.0))["loss"] == 3.0 * plain(x, t)["loss"]
    registry.use_plugins([])


@pytest.mark.parametrize("made, found", [
    ("(prediction - target).square()", r"a tensor \(1, 1, 4, 4\)"),
    ("float((prediction - target).square().mean())", "a float"), ("None", "a NoneType"),
])  # fmt: skip
def test_a_plugin_that_makes_no_number_is_named(tmp_path, made, found):
    code = f"@register('loss', 'mine')\ndef mine(prediction, target):\n    return {made}\n"
    (tmp_path / "mine.py").write_text(f"from m2m_core.registry import register\n\n{code}")
    registry.use_plugins([str(tmp_path / "mine.py")])
    with pytest.raises(ConfigError, match=rf"^loss: 'mine' returned {found}; expected a tensor \(\)"):
        losses.build({"name": "mine"})(random(1, 1, 4, 4), random(1, 1, 4, 4, seed=1))
    registry.use_plugins([])


# ---- sums


def test_a_sum_is_weighed_and_tells_its_terms():
    x, t = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    single = {name: losses.build({"name": name, **find_defaults(name)})(x, t)["loss"] for name in ("mae", "mse")}
    found = losses.build([{"name": "mae", "weight": 0.5}, {"name": "mse", "weight": 3.0}])(x, t)
    assert list(found) == ["loss", "loss/mae", "loss/mse"]
    assert found["loss/mae"] == single["mae"] and found["loss/mse"] == single["mse"]
    torch.testing.assert_close(found["loss"], 0.5 * single["mae"] + 3.0 * single["mse"])
    assert list(losses.build([{"name": "mse", "weight": 3.0}])(x, t)) == ["loss"]


def find_defaults(name):
    return {key: default for key, (_, default) in find("loss", name).options.items()}


# ---- the task


def task_of(catalogue, **changes):
    return build(study(catalogue, experiment(**changes)))


def test_batches_are_what_they_were_unless_a_loss_asks(tmp_path):
    catalogue = fields(tmp_path)
    plain, framed = task_of(catalogue), task_of(catalogue, loss=["mse", "gradient"])
    example = plain.samples().fit[0]
    old, new = (task.collate([task.item(example, None)] * 2) for task in (plain, framed))
    assert len(old) == 2 and len(new) == 4 and torch.equal(old[0], new[0]) and torch.equal(old[1], new[1])
    torch.testing.assert_close(new[2], torch.tensor([[0.0, 0.1, 0.2]] * 2))
    torch.testing.assert_close(new[3], torch.tensor([[1.0, 1.1, 1.2]] * 2))


def test_the_constants_of_each_sample_reach_the_loss(tmp_path):
    catalogue = fields(tmp_path, quantities={"target": "displacement"}, redshift=1.0, box_size=16.0)
    task = task_of(catalogue, normalize={"target": "displacement"}, loss="eulerian")
    seen = []
    task.loss = lambda prediction, target, frame: seen.append(frame) or {"loss": prediction.mean()}
    task.loss.wants_frame = True
    batch = task.collate([task.item(example, None) for example in task.samples().fit])
    task.measure(batch)
    assert seen[0].periodic and seen[0].cell == (2.0,) * 3 and seen[0].quantities == (("displacement", 3),)
    torch.testing.assert_close(seen[0].spread, torch.full((len(batch[0]), 3), 6.0 * growth(1.0, 0.3175)))
    sample = task.study.catalogue[task.samples().fit[0][0]]
    physical = np.load(sample.parts("target")[0].file)
    np.testing.assert_allclose(seen[0].physical(batch[1])[0].numpy(), physical, atol=1e-5)


def test_crops_are_no_periodic_boxes(tmp_path):
    catalogue = fields(tmp_path, space=(16, 16, 16), quantities={"target": "displacement"})
    model = {"name": "vnet", "width": 2, "depth": 1, "padding": "zero"}
    assert task_of(catalogue, crops={"size": 8}, model=model, loss="gradient").place[2] == (False,) * 3
    assert task_of(catalogue, crops={"size": 16}, model=model, loss="gradient").place[2] == (True,) * 3


def test_a_target_of_other_kinds_or_voxels_is_refused_when_it_is_known(tmp_path):
    with pytest.raises(
        ConfigError, match="loss: 'eulerian': the target is scalar of 3; expected one displacement in it of 3 channels"
    ):
        task_of(fields(tmp_path / "a"), loss="eulerian")
    two = fields(tmp_path / "b", channels={"input": 3, "target": 2}, quantities={"target": "displacement"})
    with pytest.raises(
        ConfigError, match="the target is displacement of 2; expected one displacement in it of 3 channels"
    ):
        task_of(two, loss="eulerian")
    samples = list(fields(tmp_path / "c"))
    mixed = type(two)((replace(samples[0], box_size=(99.0,) * 3), *samples[1:]))
    with pytest.raises(DataError, match="loss: sample '1' has voxels of .* Mpc/h, '0' of .*; expected equal ones"):
        task_of(mixed, loss="gradient")
    task_of(mixed, loss="mse")


def rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


EVERYTHING = [
    "mse", {"name": "lagrangian_eulerian", "weight": 0.1}, {"name": "momentum", "weight": 0.5},
    {"name": "gradient", "weight": 0.2}, {"name": "spectral", "weight": 0.01},
]  # fmt: skip


def test_a_sum_trains_in_several_processes_as_in_one_and_each_term_is_recorded(tmp_path):
    catalogue = fields(tmp_path / "fields", count=7, channels=MOVING, quantities=KINDS)
    models, histories = [], []
    for gpus in (1, 2):
        files = Files(tmp_path / str(gpus), catalogue, loss=EVERYTHING)
        training(files, gpus=gpus, batch_size=3, epochs=1)
        models.append(safetensors.torch.load_file(files.model))
        histories.append(rows(files.history))
    for key, value in models[0].items():
        torch.testing.assert_close(value, models[1][key], rtol=1e-3, atol=1e-4)
    weights = {"mse": 1.0, "lagrangian_eulerian": 0.1, "momentum": 0.5, "gradient": 0.2, "spectral": 0.01}
    for one, two in zip(*histories, strict=True):
        total = sum(weight * float(one[f"loss/{name}"]) for name, weight in weights.items())
        assert float(one["loss"]) == pytest.approx(total, rel=1e-4)
        for name in ("loss", "validation", *(f"loss/{name}" for name in weights)):
            assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-3)


def test_masked_voxels_and_half_precision_do_not_disturb(tmp_path):
    catalogue = fields(tmp_path, channels=MOVING, quantities=KINDS)
    for sample in catalogue:
        for parts in sample.fields.values():
            values = np.load(parts[0].file)
            values[0, 1, 2, 3] = np.nan
            np.save(parts[0].file, values)
    task = task_of(catalogue, loss=EVERYTHING, normalize={"target": "standardise"})
    task.masked = task.examples.masked = task.fields.mask = True
    batch = task.collate([task.item(example, None) for example in task.samples().fit])
    with torch.autocast("cpu", torch.bfloat16):
        scalars = task.step(batch)
    assert all(bool(value.isfinite()) and value.dtype == torch.float32 for value in scalars.values())
    assert all(bool(p.grad.isfinite().all()) for p in task.modules["model"].parameters())
