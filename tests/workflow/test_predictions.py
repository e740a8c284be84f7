"""New inputs in a finished study: predicted, written, kept up to date, without a training; refused before one."""

import numpy as np
import pytest

from .test_staleness import stale

pytestmark = pytest.mark.workflow

SOURCE = {"kind": "npy", "input": "new/{id}.npy", "quantities": {"input": "displacement"}, "box_size": 32.0}
MADE = {"admission": 1, "prediction": 2, "ensemble": 1, "writing": 1, "predict": 1}


def add(project, name: str, channels: int = 3) -> None:
    (project.folder / "new").mkdir(exist_ok=True)
    values = np.random.default_rng(channels).standard_normal((channels, 8, 8, 8))
    np.save(project.folder / f"new/{name}.npy", values.astype("f4"))


@pytest.fixture
def asked(project):
    """The finished project with two inputs to predict."""
    add(project, "a")
    add(project, "b")
    project.config["datasets"]["new"] = {"source": SOURCE}
    project.config["predictions"] = {"boxes": {"experiment": "tiny", "dataset": "new", "write": "npy"}}
    project.save()
    return project


def test_new_inputs_are_predicted_and_nothing_is_trained(asked):
    assert stale(asked.folder, "predict")[0] == {"catalogue": 1, **MADE}
    output = asked.run("predict")
    assert "prediction boxes 1: 2 samples" in output
    folder = asked.path("predictions/boxes")
    assert {p.name for p in folder.iterdir()} == {
        "fold-0.h5", "fold-1.h5", "mean.h5", "spread.h5", "samples.csv", "files", "files.json",
    }  # fmt: skip
    values = np.load(folder / "files/a.npy", allow_pickle=False)
    assert values.shape == (3, 8, 8, 8) and values.dtype == np.float32
    (folder / "files/b.npy").unlink()
    rules, lines = stale(asked.folder)
    assert rules == {"report": 1, "writing": 1}, lines
    add(asked, "c")
    rules, lines = stale(asked.folder)
    assert set(rules) == {"catalogue", "report", *MADE} - {"predict"}
    assert "catalogue new: new/c.npy added" in lines and not [line for line in lines if "training" in line]


def test_inputs_that_do_not_fit_stop_before_they_are_predicted(asked):
    add(asked, "b", channels=2)
    add(asked, "a", channels=2)
    output = asked.run("predict", expected=3)
    line = "predictions.boxes: sample 'a': an input of 2 x displacement; the model was trained on 3 x displacement"
    assert f"admission boxes: error: {line}" in output
    assert not list(asked.path("predictions/boxes").glob("*.h5"))


def test_inputs_are_never_where_predictions_are_written(asked):
    own = asked.path("predictions/boxes/files")
    own.mkdir(parents=True)
    (own / "a.npy").write_bytes((asked.folder / "new/a.npy").read_bytes())
    asked.config["datasets"]["new"]["source"] = {**SOURCE, "input": "results/predictions/boxes/files/{id}.npy"}
    asked.save()
    output = asked.run("predict", expected=2)
    assert "datasets.new.source: reads 'results/predictions/boxes/files/a.npy', where predictions are written" in output
    assert (own / "a.npy").read_bytes() == (asked.folder / "new/a.npy").read_bytes()
