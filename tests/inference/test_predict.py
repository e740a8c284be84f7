"""The inference stage: held-out samples, whole, checked, streamed; and the file they are in."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from m2m_core.data import predictions
from m2m_core.errors import DataError, Diverged, RunError
from m2m_core.inference.stage import predict
from m2m_core.models.weights import load_weights
from m2m_core.tasks.protocol import build
from m2m_core.tasks.study import read_study
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import fields

ROOT = Path(__file__).parents[2]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "pictures", lambda *_: None)
        files = Files(folder / "run", fields(folder), fold=1)
        training(files, epochs=1)
    return files


def run(files, output, **inference):
    settings = {"inference": files.experiment["inference"] | inference}
    return predict(settings, files, str(output), files.fold, files.job)


def by_task(files):
    """The held-out samples as the task predicts them."""
    task = build(read_study(files.experiment, files, files.fold))
    load_weights(files.model, task.modules, json.loads(files.record.read_text())["sha256"])
    task.modules["model"].eval()
    return {sample.id: task.predict(sample).whole() for sample in task.samples().predict}


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_held_out_samples_are_predicted_whole(trained, tmp_path, compression):
    assert run(trained, tmp_path / "p.h5", compression=compression) == "2 samples"
    expected = by_task(trained)
    with h5py.File(tmp_path / "p.h5") as file:
        assert set(file) == set(expected) and file.attrs["complete"] == 1
        for name, values in expected.items():
            assert np.array_equal(file[name][...], values) and file[name].fletcher32
            assert file[name].compression == {"none": None}.get(compression, compression)
            assert file[name].attrs["quantity"] == "scalar" and list(file[name].attrs["box_size"]) == [8.0] * 3


def test_tiles_change_the_memory_and_not_the_result(trained, tmp_path):
    run(trained, tmp_path / "whole.h5")
    run(trained, tmp_path / "tiles.h5", tile=4)
    for name in by_task(trained):
        one, other = (predictions.read(tmp_path / f"{file}.h5", name) for file in ("whole", "tiles"))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_tiles_that_overlap_change_nothing_that_a_network_without_boundaries_predicts(trained, tmp_path):
    run(trained, tmp_path / "tiles.h5", tile=4)
    run(trained, tmp_path / "blended.h5", tile=4, overlap=[2, 0, 2])
    run(trained, tmp_path / "whole.h5", overlap=2)  # of one tile there is nothing to blend
    for name, values in by_task(trained).items():
        one, other = (predictions.read(tmp_path / f"{file}.h5", name) for file in ("tiles", "blended"))
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert np.array_equal(predictions.read(tmp_path / "whole.h5", name), values)


def test_tiles_that_overlap_smooth_the_boundaries_of_a_network_that_has_some(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "pictures", lambda *_: None)
        files = Files(tmp_path / "run", fields(tmp_path), model={"padding": "zero"}, crops={"size": 4})
        training(files, epochs=1)
    run(files, tmp_path / "tiles.h5", tile=4)
    run(files, tmp_path / "blended.h5", tile=4, overlap=2)
    name = next(iter(by_task(files)))
    one, other = (predictions.read(tmp_path / f"{file}.h5", name) for file in ("tiles", "blended"))
    assert one.shape == other.shape and np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(trained, tmp_path, precision):
    run(trained, tmp_path / "full.h5")
    run(trained, tmp_path / "half.h5", precision=precision)
    name = next(iter(by_task(trained)))
    one, other = (predictions.read(tmp_path / f"{file}.h5", name) for file in ("full", "half"))
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, atol=0.1)


def test_other_weights_than_training_wrote_are_refused(trained, tmp_path):
    data = bytearray(trained.model.read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    files = type("Changed", (), {**trained.__dict__, "model": tmp_path / "model.safetensors", "job": trained.job})
    with pytest.raises(RunError, match="model.safetensors: sha256 is .*: the file has changed"):
        run(files, tmp_path / "p.h5")
    assert not (tmp_path / "p.h5").exists()


def test_what_fails_leaves_the_earlier_file(trained, tmp_path, monkeypatch):
    run(trained, tmp_path / "p.h5")
    before = (tmp_path / "p.h5").read_bytes()

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("m2m_core.data.predictions.add", fail)
    with pytest.raises(RunError, match="out of memory: lower inference.tile"):
        run(trained, tmp_path / "p.h5")
    assert (tmp_path / "p.h5").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["p.h5"]


MEMORY = """
import resource, sys
import numpy as np
from m2m_core.data import predictions
n = int(sys.argv[2])
def blocks():
    for start in range(0, n, 16):
        yield (slice(None), slice(start, start + 16)), np.full((1, 16, 256, 256), start, "f4")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
with predictions.create(sys.argv[1], {}) as file:
    predictions.add(file, "a", (1, n, 256, 256), blocks(), {}, "lzf")
print(peak() - before)
"""


def test_memory_grows_with_the_block_and_not_with_the_sample(tmp_path):
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "p.h5"), "1024"]  # 256 MiB in blocks of 4
    used = float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert used < 128  # the cache of chunks is 64


# ---- the file


def made(path, model="m", **arrays):
    with predictions.create(path, {"model": model}) as file:
        for name, values in arrays.items():
            place = (slice(None),) * values.ndim
            predictions.add(file, name, values.shape, [(place, values)], {}, "none")
    return path


SHAPES = {"a": (1, 4, 4), "b": (1, 4, 4)}
ZERO = np.zeros((1, 4, 4), "f4")


def test_a_good_file_passes(tmp_path):
    predictions.check(made(tmp_path / "p.h5", a=ZERO, b=ZERO), SHAPES, "m")


@pytest.mark.parametrize(
    "arrays, model, complaint",
    [
        ({"a": ZERO}, "m", "no prediction of b; delete it to predict anew"),
        ({"a": ZERO, "b": ZERO, "c": ZERO}, "m", "prediction of unknown c"),
        ({"a": ZERO, "c": ZERO}, "m", "no prediction of b; prediction of unknown c"),
        ({"a": ZERO, "b": ZERO[:, :3]}, "m", r"another shape for b \(1, 3, 4\), expected \(1, 4, 4\)"),
        ({"a": ZERO, "b": ZERO}, "other", "made by model other, not by m"),
    ],
)
def test_other_samples_than_wanted(tmp_path, arrays, model, complaint):
    with pytest.raises(DataError, match=f"p.h5: {complaint}"):
        predictions.check(made(tmp_path / "p.h5", model, **arrays), SHAPES, "m")


def test_many_missing_samples_are_counted(tmp_path):
    shapes = {f"s{n}": (1, 4, 4) for n in range(9)}
    with pytest.raises(DataError, match=r"no prediction of s0, s1, s2, s3, s4, \.\.\. \(9\)"):
        predictions.check(made(tmp_path / "p.h5"), shapes, "m")


def test_a_file_that_is_not_complete(tmp_path):
    path = made(tmp_path / "p.h5", a=ZERO, b=ZERO)
    with h5py.File(path, "a") as file:
        del file.attrs["complete"]
    with pytest.raises(DataError, match="p.h5: not complete"):
        predictions.check(path, SHAPES, "m")


@pytest.mark.parametrize("keep", [0, 8, 0.5, -1])
def test_a_cut_file_is_named(tmp_path, keep):
    path = made(tmp_path / "p.h5", a=ZERO, b=ZERO)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="p.h5: not readable") as error:
        predictions.check(path, SHAPES, "m")
    assert "\n" not in str(error.value)


def test_a_flipped_bit_is_found(tmp_path):
    path = made(tmp_path / "p.h5", a=np.arange(16, dtype="f4").reshape(1, 4, 4))
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(16, dtype="f4").tobytes()) + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="p.h5: not readable"):
        predictions.read(path, "a")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_not_written(tmp_path, bad):
    with pytest.raises(Diverged, match="sample 'a': 16 predicted values are not finite"):
        made(tmp_path / "p.h5", a=np.full_like(ZERO, bad))
    assert not list(tmp_path.iterdir())


def test_a_sample_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="p.h5: no prediction of sample 'x'; it has a, b"):
        predictions.read(made(tmp_path / "p.h5", a=ZERO, b=ZERO), "x")
    with pytest.raises(DataError, match="q.h5: not readable"):
        predictions.read(tmp_path / "q.h5", "x")
