"""Training that begins with weights of a file: from the config to the model, and without any step."""

import json

import pytest
import safetensors.torch
import torch

from m2m_core.errors import ConfigError, DataError
from m2m_core.inference.stage import predict
from m2m_core.models.map2map import names
from m2m_core.tasks.protocol import build
from m2m_core.training.loop import Loop, fit
from tests.models.references import state
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, fields, study
from tests.training.toys import same, weights

PUBLISHED = {"name": "vnet", "width": 64, "growth": 1, "normalization": "batch", "padding": "zero"}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return fields(tmp_path_factory.mktemp("fields"))


@pytest.fixture(scope="module")
def file(catalogue, tmp_path_factory):
    """Weights of the model of the tests, as map2map keeps them."""
    torch.manual_seed(9)
    task = build(study(catalogue, experiment(training={"seed": 5})))
    path = tmp_path_factory.mktemp("weights") / "state.pt"
    torch.save({"epoch": 1, "model": task.modules["model"].state_dict()}, path)
    return path


def run(catalogue, folder, **settings):
    chosen = experiment(training={"validation": None, **settings})
    return fit(build(study(catalogue, chosen)), chosen, folder, "initial")


def test_without_an_epoch_the_model_is_the_file_of_map2map(catalogue, tmp_path):
    path = tmp_path / "state_128.pt"
    theirs = state("VNet")
    torch.save({"epoch": 128, "model": theirs, "rng": torch.get_rng_state()}, path)
    files = Files(tmp_path / "run", catalogue, model=PUBLISHED, training={"epochs": 0, "initial_weights": str(path)})
    assert training(files).startswith("0 steps")
    assert files.said == [f"begins with weights of {path}"]
    found = safetensors.torch.load_file(files.model)
    expected = {f"model.{ours}": theirs[key] for key, ours in names(theirs).items()}
    assert same(found, expected) and found.keys() == expected.keys()
    assert files.history.read_text() == "step,epoch,loss,validation,lr\n"
    assert json.loads(files.record.read_text())["steps"] == 0
    predict({"inference": files.experiment["inference"]}, files, files.predictions, 0, files.job)
    assert files.predictions.stat().st_size > 0


def test_training_goes_on_from_the_weights_and_repeats(catalogue, file, tmp_path):
    begun = torch.load(file, weights_only=True)["model"]
    runs = [run(catalogue, tmp_path / name, seed=1, epochs=1, initial_weights=str(file)) for name in "ab"]
    assert same(weights(runs[0].task), weights(runs[1].task))
    other = run(catalogue, tmp_path / "other", seed=1, epochs=1)
    distance = [
        sum((v - begun[k]).square().sum() for k, v in r.task.modules["model"].state_dict().items())
        for r in (*runs, other)
    ]
    assert max(distance[:2]) < 0.1 * distance[2]


def test_the_average_begins_with_them_and_a_resumed_run_does_not_begin_again(catalogue, file, tmp_path):
    settings = {"initial_weights": str(file), "ema": 0.9}
    begun = {f"model.{key}": value for key, value in torch.load(file, weights_only=True)["model"].items()}
    chosen = experiment(training={"validation": None, **settings})
    loop = Loop(build(study(catalogue, chosen)), chosen, tmp_path / "new", "initial")
    assert same(loop.average.means, {key: begun[key] for key in loop.average.means})
    run(catalogue, tmp_path / "cut", epochs=1, **settings)
    resumed, whole = (run(catalogue, tmp_path / folder, epochs=2, **settings) for folder in ("cut", "whole"))
    assert same(weights(resumed.task), weights(whole.task))


def test_what_a_training_cannot_begin_with_ends_it_with_one_line(catalogue, file, tmp_path):
    with pytest.raises(ConfigError, match="^training.initial_weights: .* but encode.0.convs.2.weight of the model"):
        chosen = experiment(model={"name": "vnet", "width": 3, "depth": 1}, training={"initial_weights": str(file)})
        fit(build(study(catalogue, chosen)), chosen, tmp_path / "a", "initial")
    chosen = experiment(training={"initial_weights": str(file)}) | {"initial_weights": "0" * 64}
    with pytest.raises(DataError, match="the file has changed; run again"):
        fit(build(study(catalogue, chosen)), chosen, tmp_path / "b", "initial")


def test_a_model_that_changes_the_grid_is_refused_where_the_grid_stays(catalogue):
    chosen = experiment(model={"name": "stylegan2_generator", "scale": 2, "width": 2})
    with pytest.raises(ConfigError, match="^crops.scale_factor: 2, as the model makes it, but the input"):
        build(study(catalogue, chosen))
    chosen = experiment(model={"name": "styled_vnet", "width": 2, "depth": 1})
    with pytest.raises(ConfigError, match="^model.name: 'styled_vnet' needs styles"):
        build(study(catalogue, chosen))
