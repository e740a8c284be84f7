"""Several predictions of a sample, each under noise of its own: on disk, in the evaluation, as mean and spread."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from m2m_core.data import predictions
from m2m_core.errors import ConfigError
from m2m_core.evaluation import evaluate
from m2m_core.inference.ensemble import combine
from m2m_core.inference.stage import predict, predict_new
from m2m_core.metrics import table
from m2m_core.metrics.draws import compare_draws
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import fields
from tests.tasks.test_super_resolution import generator

DRAWS = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    catalogue = fields(folder, space=(8, 8), scale=2, channels={"input": 2, "target": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "pictures", lambda *_: None)
        files = Files(folder / "run", catalogue, fold=1, model=generator(2), crops={"size": 4}, training={"epochs": 2})
        training(files)
    return files


def run(files, output, **inference):
    settings = {"inference": files.experiment["inference"] | inference}
    return predict(settings, files, str(output), files.fold, files.job)


def test_the_first_draw_is_the_only_one_and_the_others_are_others(trained, tmp_path):
    assert run(trained, tmp_path / "one.h5") == "2 samples"
    assert run(trained, tmp_path / "more.h5", draws=DRAWS) == "2 samples, 3 draws of each"
    run(trained, tmp_path / "tiles.h5", draws=DRAWS, tile=3)
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "more.h5") as more:
        assert list(one) == predictions.names(more) == predictions.names(one)
        for name in one:
            draws = predictions.draws(more, name)
            assert len(draws) == DRAWS and len(predictions.draws(one, name)) == 1
            assert np.array_equal(draws[0], one[name]) and all(draw.fletcher32 for draw in draws)
            apart = [np.abs(draws[i][...] - draws[j][...]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
            assert min(apart) > 1e-6
            with h5py.File(tmp_path / "tiles.h5") as tiles:
                for draw, other in zip(draws, predictions.draws(tiles, name), strict=True):
                    np.testing.assert_allclose(draw, other, atol=1e-5)


def test_what_draws_say_together_follows_what_the_first_one_says(trained, tmp_path):
    tables = []
    for draws in (1, DRAWS):
        run(trained, trained.predictions, draws=draws)
        evaluate({"evaluation": trained.experiment["evaluation"]}, trained, str(trained.table), 1, trained.job)
        tables.append(table.read(trained.table))
    kinds = {"crps", "spread", "mean_rmse", "spread_skill", "rank", "spread_skill_spectrum"}
    kinds |= {f"{name}_draws{end}" for name in ("power", "transfer") for end in ("", "_spread")}
    assert [row for row in tables[1] if row.metric not in kinds] == tables[0]
    assert {row.metric for row in tables[1]} - {row.metric for row in tables[0]} == kinds
    own = [row for row in tables[1] if row.metric in kinds]
    assert {row.source for row in own} == {"emulator"}
    sample = own[0].sample
    with h5py.File(trained.predictions) as file:
        whole = [draw[...] for draw in predictions.draws(file, sample)]
    truth = np.load(next(trained.folder.parent.glob(f"target/target-{sample}.npy")))
    expected = compare_draws(whole, truth, (16.0, 16.0), (True, True), [("scalar", 2)])
    assert [(r.metric, r.value) for r in own if r.sample == sample and r.x is None] == [
        (metric, value) for _, metric, x, value in expected if x is None
    ]


def test_mean_and_spread_are_of_all_draws_of_all_models(trained, tmp_path):
    trained_on = SimpleNamespace(**vars(trained) | {"samples": trained.catalogue})
    settings = {"inference": trained.experiment["inference"] | {"draws": DRAWS}}
    files = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for seed, path in enumerate(files):
        settings["inference"]["seed"] = seed
        assert predict_new(settings, trained_on, path, 1, trained.job) == "6 samples, 3 draws of each"
    outputs = SimpleNamespace(mean=tmp_path / "mean.h5", spread=tmp_path / "spread.h5")
    for chosen, text in ((files, "2 models"), (files[:1], "3 draws")):
        assert combine({"compression": "lzf"}, chosen, outputs, trained.job) == f"6 samples of {text}"
        every = []
        for path in chosen:
            with h5py.File(path) as file:
                every += [draw[...] for draw in predictions.draws(file, "0")]
        np.testing.assert_allclose(predictions.read(outputs.mean, "0"), np.mean(every, axis=0), atol=1e-6)
        np.testing.assert_allclose(predictions.read(outputs.spread, "0"), np.std(every, axis=0, ddof=1), atol=1e-6)


def test_models_without_noise_have_one_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "pictures", lambda *_: None)
    files = Files(tmp_path / "run", fields(tmp_path, space=(8, 8), count=3), fold=1)
    training(files, epochs=1)
    with pytest.raises(ConfigError, match="inference.draws: 2, of a task or model that takes no noise; expected 1"):
        run(files, tmp_path / "p.h5", draws=2)
