"""The evaluation stage: every held-out sample beside the truth, the baselines beside it, or one line of complaint."""

import json

import h5py
import numpy as np
import pytest

from m2m_core.data import predictions
from m2m_core.errors import DataError
from m2m_core.evaluation import evaluate
from m2m_core.metrics import table
from tests.tasks.pipeline import Files
from tests.tasks.studies import fields

MODEL = "ab" * 32


def prepared(folder, **predicted):
    """The files of a fold whose predictions are the truth, except where `predicted` gives an array or None."""
    catalogue = fields(folder, channels={"input": 3, "target": 3, "2lpt": 3})
    files = Files(folder / "run", catalogue, fold=1)
    settings = {key: value for key, value in files.experiment.items() if key not in ("evaluation", "inference")}
    files.record.write_text(json.dumps({"settings": settings, "sha256": MODEL, "identity": "x"}))
    found = {sample.id: np.load(sample.parts("target")[0].file) for sample in catalogue.held_out(1)} | predicted
    with predictions.create(files.predictions, {"model": MODEL}) as file:
        for name, values in found.items():
            if values is not None:
                blocks = [((slice(None),) * values.ndim, values)]
                predictions.add(file, name, values.shape, blocks, {}, "none")
    return files, [sample.id for sample in catalogue.held_out(1)]


def run(files):
    settings = {"evaluation": files.experiment["evaluation"]}
    return evaluate(settings, files, str(files.table), files.fold, files.job)


def test_the_truth_is_perfect_and_baselines_are_not(tmp_path):
    files, held_out = prepared(tmp_path)
    result = run(files)
    rows = table.read(files.table)
    assert result == f"2 samples, {len(rows)} rows"
    mse = {(row.sample, row.source): row.value for row in rows if row.metric == "mse"}
    assert mse.keys() == {(name, source) for name in held_out for source in ("emulator", "input", "2lpt")}
    assert all((value == 0) == (source == "emulator") for (_, source), value in mse.items())
    transfer = [row.value for row in rows if row.metric == "transfer" and row.source == "emulator"]
    assert transfer and np.allclose(transfer, 1)


WRONG = np.zeros((3, 8, 8, 4), "f4")


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda ids: {ids[0]: None}, "no prediction of {0}; delete it to predict anew"),
        (lambda ids: {"stranger": WRONG}, "prediction of unknown stranger; delete it to predict anew"),
        (
            lambda ids: {ids[1]: WRONG},
            "another shape for {1} (3, 8, 8, 4), expected (3, 8, 8, 8); delete it to predict anew",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_one_line(tmp_path, change, complaint):
    ids = prepared(tmp_path / "probe")[1]
    files, _ = prepared(tmp_path / "real", **change(ids))
    with pytest.raises(DataError) as error:
        run(files)
    assert str(error.value) == f"{files.predictions}: {complaint.format(*ids)}" and not files.table.exists()


def test_predictions_of_another_model(tmp_path):
    files, _ = prepared(tmp_path)
    files.record.write_text(files.record.read_text().replace(MODEL, "cd" * 32))
    with pytest.raises(DataError, match="predictions.h5: made by model abababababab, not by cdcdcdcdcdcd"):
        run(files)


def test_a_prediction_that_is_not_finite_is_not_judged(tmp_path):
    files, ids = prepared(tmp_path)
    with h5py.File(files.predictions, "a") as file:
        file[ids[0]][0, 1, 2, 3] = np.nan
    with pytest.raises(DataError, match="field: prediction: 1 of 1536 values are NaN or infinite"):
        run(files)
