"""The section `predictions`: what is filled in, and what is refused before any job, in one line."""
# ruff: noqa: E501 (errors stand here as they are printed)

import pytest
import yaml

from m2m_core import config, door
from m2m_core.errors import ConfigError
from m2m_core.stages import Stages
from tests.config.making import changed, small

NEW = {"kind": "npy", "input": "new/*.npy"}
PARTS = {"kind": "npy", "input": "in/*.npy", "target": {"psi": "psi/*.npy", "v": "v/*.npy"}}
OPEN = {**NEW, "periodic": False}


def raw(prediction=None, source=NEW, learnt=None):
    """The small config with a dataset `new` without targets and a prediction of it."""
    out = changed("datasets/new", {"source": source})
    out["predictions"] = {"boxes": prediction or {"experiment": "vnet", "dataset": "new"}}
    if learnt:
        out["datasets"]["nbody"]["source"] = learnt
    return out


def test_every_default_is_filled_in():
    (found,) = config.parse(raw()).predictions.values()
    assert found.model_dump() == {
        "experiment": "vnet", "dataset": "new", "folds": None, "draws": None, "cell_tolerance": 0.01, "write": None,
    }  # fmt: skip
    stages = Stages(door.check(config.parse(raw())))
    assert stages.models("boxes") == [0, 1, 2] and stages.is_ensemble("boxes")
    assert stages.admission("boxes")["tile"] == 32 and stages.admission("boxes")["geometry"]["name"] == "vnet"


@pytest.mark.parametrize("write", ["npy", {"kind": "npy"}])
def test_files_are_a_kind_or_keys(write):
    (found,) = config.parse(raw({"experiment": "vnet", "write": write})).predictions.values()
    assert found.write.model_dump() == {"kind": "npy", "path": None, "dtype": "float32"}


def test_an_experiment_that_an_ablation_made_predicts_as_well():
    out = raw({"experiment": "width-4", "dataset": "new", "folds": [2, 0]})
    out["ablations"] = {"width": {"of": "vnet", "vary": {"model.width": [4]}}}
    assert Stages(door.check(config.parse(out))).models("boxes") == [0, 2]


def test_draws_are_those_of_the_experiment_unless_given():
    out = raw({"experiment": "vnet", "dataset": "new", "folds": [1]})
    out["datasets"]["nbody"]["source"]["coarsen"] = 2
    out["experiments"]["vnet"] |= {"model": {"name": "stylegan2_generator", "scale": 2}, "crops": {"size": 16}}
    for own, given, expected in ((1, None, 1), (1, 4, 4), (3, None, 3), (3, 1, 1)):
        out["experiments"]["vnet"]["inference"] = {"draws": own}
        out["predictions"]["boxes"]["draws"] = given
        stages = Stages(door.check(config.parse(out)))
        assert stages.prediction("boxes")["inference"]["draws"] == expected
        assert stages.is_ensemble("boxes") == (expected > 1)
        assert ("draws" in stages.figures("vnet")) == (own > 1)


def test_null_removes_a_prediction(tmp_path):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(raw()))
    (tmp_path / "two.yaml").write_text("predictions: {boxes: null}\n")
    assert not config.load([tmp_path / "one.yaml", tmp_path / "two.yaml"]).predictions


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"prediction": {"experiment": "vnett", "dataset": "new"}}, "predictions.boxes.experiment: unknown experiment 'vnett'; did you mean 'vnet'?"),
        ({"prediction": {"experiment": "vnet", "dataset": "neu"}}, "predictions.boxes.dataset: unknown dataset 'neu'; did you mean 'new'?"),
        ({"prediction": {"experiment": "vnet", "dataset": "nbody"}}, "predictions.boxes.dataset: 'nbody' trained 'vnet'; expected another, or no dataset for the samples that each fold holds out"),
        ({"prediction": {"experiment": "vnet", "dataset": "new", "draws": 2}}, "predictions.boxes.draws: 2, but model.name 'vnet' takes no noise and predicts the same each time; expected 1, or a generator such as stylegan2_generator"),
        ({"prediction": {"experiment": "vnet"}}, "predictions.boxes: neither dataset nor write, which makes nothing; expected one of them or both"),
        ({"prediction": {"experiment": "vnet", "dataset": "new", "folds": [3]}}, "predictions.boxes.folds: 3, of which there is no model; expected some of 0, 1, 2"),
        ({"prediction": {"experiment": "vnet", "dataset": "new", "folds": [1, 1]}}, "predictions.boxes: folds is [1, 1]; expected different folds"),
        ({"prediction": {"experiment": "vnet", "dataset": "new", "fold": 1}}, "predictions.boxes.fold: this section has no such key; did you mean 'folds'?"),
        ({"source": {**NEW, "input": {"psi": "a"}}}, "predictions.boxes.dataset: the parts of its input are psi; expected one without a name"),
        ({"source": OPEN}, "predictions.boxes.dataset: not periodic, but model.padding is; expected periodic boxes"),
        ({"prediction": {"experiment": "vnet", "write": "numpy"}}, "predictions.boxes.write: got 'numpy'; expected 'npy' or 'hdf5', or "),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "/etc/{id}.npy"}}}, "predictions.boxes.write.path: got '/etc/{id}.npy'; expected a path inside the folder of the prediction"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "../{id}.npy"}}}, "predictions.boxes.write.path: got '../{id}.npy'; expected a path inside"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "{sample}.npy"}}}, "predictions.boxes.write.path: got '{sample}.npy'; expected a path inside the folder of the prediction, with {id}"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "out.npy"}}}, "predictions.boxes.write: path is 'out.npy'; expected {id} in it, for a file a sample"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "{id}.h5"}}}, "predictions.boxes.write: path is '{id}.h5'; expected one that ends with .npy"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "hdf5", "path": "{id}{part}.h5"}}}, "predictions.boxes.write: path is '{id}{part}.h5'; expected no {part}: parts are datasets of one file"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "{id}{part}.npy"}}}, "predictions.boxes.write.path: '{id}{part}.npy'; expected no {part}: the target is undivided"),
        ({"prediction": {"experiment": "vnet", "write": {"kind": "npy", "path": "{id}.npy"}}, "learnt": PARTS}, "predictions.boxes.write.path: '{id}.npy'; expected {part} in it, for psi, v"),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(changes, line):
    with pytest.raises(ConfigError) as caught:
        door.check(config.parse(raw(**changes)))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_styles_must_be_known_of_new_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "learnt.csv").write_text("id,sigma_8\n")
    learnt = {**NEW, "target": "t", "parameters": "learnt.csv"}
    out = raw(learnt=learnt)
    out["experiments"]["vnet"] |= {"model": "styled_vnet", "styles": {"sigma_8": {}}}
    with pytest.raises(ConfigError, match=r"predictions.boxes.dataset: its samples have no number 'sigma_8', a style"):
        door.check(config.parse(out))
    out["datasets"]["new"]["source"] = {**NEW, "parameters": "learnt.csv"}
    door.check(config.parse(out))


def test_without_targets_there_are_no_folds_and_no_experiments():
    out = raw()
    out["datasets"]["new"]["folds"] = {"count": 4}
    with pytest.raises(ConfigError, match=r"^datasets.new.folds: a dataset without targets has none; expected source"):
        door.check(config.parse(out))
    out = changed("experiments/vnet/dataset", "new", raw({"experiment": "vnet", "write": "npy"}))
    with pytest.raises(ConfigError, match=r"^experiments.vnet.dataset: 'new' has no source.target to learn from"):
        door.check(config.parse(out))


def test_what_is_predicted_and_written_is_no_business_of_training():
    """Nothing of an experiment reads a prediction: their keys make none of its stages stale."""
    without = Stages(config.parse(small() | {"datasets": raw()["datasets"]}))
    stages = Stages(config.parse(raw({"experiment": "vnet", "dataset": "new", "write": "hdf5"})))
    for stage in ("statistics", "crops", "training", "inference", "evaluation"):
        assert getattr(stages, stage)("vnet") == getattr(without, stage)("vnet")
    assert stages.writing("boxes")["parts"] == [""]
