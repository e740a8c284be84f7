"""Labels of new cubes: admitted, told as those of held-out ones, the models together in tables."""
# ruff: noqa: E501 (errors stand here as they are printed)

import csv
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from m2m_core import admission, door
from m2m_core.config import parse
from m2m_core.crops import read_index
from m2m_core.data import predictions
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.stage import make_catalogue
from m2m_core.errors import ConfigError, DataError
from m2m_core.inference.answers import tabulate, told
from m2m_core.inference.stage import predict, predict_new
from m2m_core.metrics.answers import Answers
from m2m_core.stages import Stages
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import labelled

FOLDS = {"count": 3, "given": None, "by": "group", "seed": 0}
SETTINGS = {
    "cell_tolerance": 0.01,
    "geometry": {"name": "penguin", "options": {}},
    "overlap": 0,
    "styles": [],
    "tile": None,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    crops, model = {"kind": "slices"}, {"name": "penguin", "layer_param": 2}
    files = Files(folder / "run", labelled(folder, 6), 1, task="field_to_label", crops=crops, model=model)
    training(files, epochs=1, batch_size=16)
    predict({"inference": files.experiment["inference"]}, files, str(files.predictions), 1, files.job)
    return files


def new(folder, trained, change=lambda values: values, **given) -> Catalogue:
    """The cubes of the held-out samples, changed, under their old ids: without labels, seeds and folds."""
    folder.mkdir()
    for sample in Catalogue.read(trained.catalogue).held_out(1):
        np.save(folder / f"{sample.id}.npy", change(np.load(sample.parts("input")[0].file)[0]))
    source = {"kind": "cubes", "input": f"{folder}/{{name}}.npy", "group": None, "box_size": 100.0, **given}
    return make_catalogue({"source": source, "folds": FOLDS, "on_nonfinite": "mask"}, [])


def answered(catalogue, trained, folder) -> dict[str, np.ndarray]:
    catalogue.write(folder / "samples.csv")
    files = SimpleNamespace(**vars(trained) | {"samples": folder / "samples.csv"})
    predict_new({"inference": trained.experiment["inference"]}, files, folder / "p.h5", 1, trained.job)
    return {sample.id: predictions.read(folder / "p.h5", sample.id) for sample in catalogue}


def test_cubes_without_labels_have_no_folds_and_are_told_as_the_held_out_ones(trained, tmp_path):
    catalogue = new(tmp_path / "new", trained)
    assert {sample.fold for sample in catalogue} == {0}
    for name, table in answered(catalogue, trained, tmp_path).items():
        assert np.array_equal(table, predictions.read(trained.predictions, name)) and table.shape == (3, 24)


def test_a_new_cube_under_the_id_of_an_old_one_is_told_by_itself(trained, tmp_path):
    found = answered(new(tmp_path / "new", trained, lambda values: 2 * values), trained, tmp_path)
    for name, table in found.items():
        assert not np.allclose(table[2], predictions.read(trained.predictions, name)[2])
    assert not predictions.beside(tmp_path / "p.h5")  # saliency is of held-out samples


@pytest.mark.parametrize("change, given, complaint", [
    (lambda values: values[:4, :4, :4], {"box_size": 50.0}, "slices of 4x4; the model was trained on 8x8"),
    (lambda values: values[0], {"box_size": 100.0}, "2 axes of space; the model was trained on 3"),
    (lambda values: np.stack([values, values]), {"channels": True}, "an input of 2 x scalar; the model was trained on 1 x scalar"),
    (lambda values: values, {"box_size": 50.0}, "voxels of 6.25 x 6.25 x 6.25 Mpc/h; the model was trained on 12.5 x 12.5 x 12.5"),
    (lambda values: values / np.sign(values.clip(0)), {}, "values that are not finite; the model was trained without any"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:(divide|invalid)")
def test_cubes_that_do_not_fit_are_refused_in_a_line(trained, tmp_path, change, given, complaint):
    sample, known = new(tmp_path / "new", trained, change, **given).samples[0], Catalogue.read(trained.catalogue)
    with pytest.raises((ConfigError, DataError)) as caught:
        admission.fits(sample, known, read_index(trained.crops, known), SETTINGS)
    assert f"sample {sample.id!r}: {complaint}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_cube_that_fits_is_admitted_by_the_edges_of_its_slices(trained, tmp_path):
    sample, known = new(tmp_path / "new", trained).samples[0], Catalogue.read(trained.catalogue)
    row = admission.fits(sample, known, read_index(trained.crops, known), SETTINGS)
    assert row == (sample.id, "8 8 8", "12.5 12.5 12.5", "12.5 12.5 12.5", "8 8")


# ---- tables


def test_the_models_give_the_mean_of_their_probabilities_and_its_spread():
    chance = np.array([[0.9, 0.2], [0.7, 0.4], [0.8, 0.3]])
    found = told(np.log(chance / (1 - chance))[:, None], ["logit"], ["gr"])
    assert list(found) == ["answer", "probability_gr", "spread_gr"] and found["answer"].tolist() == [1, 0]
    assert found["probability_gr"] == pytest.approx([0.8, 0.3]) and found["spread_gr"] == pytest.approx([0.1, 0.1])
    extreme = told(np.array([[[-1e4, 1e4]]]), ["logit"], ["gr"])
    assert extreme["probability_gr"].tolist() == [0, 1] and np.isnan(extreme["spread_gr"]).all()


def test_several_classes_have_a_probability_each():
    chances = np.array([[[0.5], [0.3], [0.2]], [[0.1], [0.3], [0.6]]])
    found = told(np.log(chances), [f"log_probability_{c}" for c in range(3)], ["class"])
    assert found["answer"].tolist() == [2] and found["probability_1"] == pytest.approx([0.3])
    assert found["spread_0"] == pytest.approx([0.4 / np.sqrt(2)])


def test_parameters_have_what_the_models_state_and_what_they_disagree_by():
    values = np.array([[[0.3], [0.8], [0.01], [0.04]], [[0.5], [0.8], [0.03], [0.04]]])
    columns = ["mean_omega_m", "mean_sigma_8", "variance_omega_m", "variance_sigma_8"]
    found = told(values, columns, ["omega_m", "sigma_8"])
    assert list(found)[:3] == ["mean_omega_m", "std_omega_m", "spread_omega_m"]
    assert {name: float(np.round(column[0], 9)) for name, column in found.items()} == {
        "mean_omega_m": 0.4, "std_omega_m": np.round(np.sqrt(0.02), 9), "spread_omega_m": np.round(0.2 / np.sqrt(2), 9),
        "mean_sigma_8": 0.8, "std_sigma_8": 0.2, "spread_sigma_8": 0.0,
    }  # fmt: skip


def test_tables_of_cubes_and_slices_agree_with_what_is_evaluated(trained, tmp_path):
    outputs = SimpleNamespace(samples=tmp_path / "answers.csv", slices=tmp_path / "slices.csv")
    files = [str(trained.predictions)] * 2
    assert tabulate({"labels": ["gr"]}, files, outputs) == "2 samples by 2 models"
    cubes, slices = (list(csv.DictReader(path.open())) for path in (outputs.samples, outputs.slices))
    assert len(cubes) == 2 and len(slices) == 2 * 24 and {row["spread_gr"] for row in cubes} == {"0"}
    for row in cubes:
        table = predictions.read(trained.predictions, row["sample"])
        known = {
            metric: value for _, metric, x, value in Answers(["gr"], 2).rows(table[2:].T, np.zeros(1)) if x in (None, 1)
        }
        logit = -np.log(1 / float(row["probability_gr"]) - 1)
        assert logit == pytest.approx(known["score"], abs=1e-5) and int(row["answer"]) == known["answer"]
        own = [one for one in slices if one["sample"] == row["sample"]]
        assert [(int(one["axis"]), int(one["start"])) for one in own] == [(a, s) for a in range(3) for s in range(8)]
        expected = 1 / (1 + np.exp(-table[2].astype(float)))
        np.testing.assert_allclose([float(one["probability_gr"]) for one in own], expected, rtol=1e-6)


def test_models_that_told_of_other_cubes_make_no_table(trained, tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(trained.predictions) as file, predictions.create(other, {}) as copy:
        name = predictions.names(file)[0]
        file.copy(name, copy)
    outputs = SimpleNamespace(samples=tmp_path / "answers.csv", slices=tmp_path / "slices.csv")
    with pytest.raises(DataError, match=r"other.h5: another sample or shape than in .*; delete it to predict anew"):
        tabulate({"labels": ["gr"]}, [str(trained.predictions), str(other)], outputs)
    assert not outputs.samples.exists() and not outputs.slices.exists()


# ---- the config


def asked(**prediction):
    source = {"kind": "cubes", "input": "a.h5", "dataset": "{theory}_{seed}", "labels": {"gr": {"theory": "gr"}}}
    return {
        "datasets": {"old": {"source": source}, "new": {"source": {**source, "input": "b.h5", "labels": {}}}},
        "experiments": {
            "e": {
                "dataset": "old",
                "task": {"name": "field_to_label", "labels": ["gr"]},
                "crops": {"kind": "slices"},
                "model": "racoon",
            }
        },
        "predictions": {"told": {"experiment": "e", **prediction}},
    }


def test_the_config_asks_for_labels_of_new_cubes_and_for_no_fields():
    stages = Stages(door.check(parse(asked(dataset="new"))))
    assert stages.tells("told") and stages.answers("told")["labels"] == ["gr"]
    assert "tells" not in stages.catalogue("new") and stages.catalogue("old")["tells"]
    for given in ({"dataset": "new", "write": "npy"}, {"write": "npy"}):
        with pytest.raises(
            ConfigError, match="predictions.told.write: npy is of fields, but 'e' tells labels; expected"
        ):
            door.check(parse(asked(**given)))


def test_another_cube_is_sliced_as_those_of_the_index(trained):
    known = Catalogue.read(trained.catalogue)
    slices = read_index(trained.crops, known)
    one = known.samples[0]
    assert slices.over(replace(one, id="x")).of("x") == slices.of(one.id)
