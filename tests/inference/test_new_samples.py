"""Samples without targets: found, admitted, predicted as the held-out ones are; several models together; files."""

import csv
import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from m2m_core import admission
from m2m_core.crops import Crops, index
from m2m_core.data import predictions
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.sources import hdf5
from m2m_core.data.stage import make_catalogue
from m2m_core.errors import ConfigError, DataError
from m2m_core.inference.ensemble import combine
from m2m_core.inference.stage import predict, predict_new
from m2m_core.inference.writing import layout, path_of, write
from m2m_core.models import geometry_of
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import fields

torch.set_num_threads(1)
FOLDS = {"count": 3, "given": None, "by": "sample", "seed": 0}


def new(folder, space=(8, 8, 8), channels=3, samples=("n1", "n2"), bad=None, **source):
    """The catalogue of inputs without targets, as the data stage makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(samples):
        values = np.random.default_rng(number).standard_normal((channels, *space)).astype("f4")
        if bad is not None:
            values[0, 0] = bad
        np.save(folder / f"{name}.npy", values)
    known = {"kind": "npy", "input": f"{folder}/{{id}}.npy", **source}
    return make_catalogue({"source": known, "folds": FOLDS, "on_nonfinite": "mask"}, [])


# ---- data


def test_a_dataset_without_targets_has_no_folds(tmp_path):
    catalogue = new(tmp_path / "new", samples=["a"], box_size=4.0)
    (sample,) = catalogue
    assert list(sample.fields) == ["input"] and sample.fold == 0 and sample.box_size == (4.0,) * 3
    catalogue.write(tmp_path / "c.csv")
    assert Catalogue.read(tmp_path / "c.csv") == catalogue


# ---- admission

ADMITTED = {
    "cell_tolerance": 0.01,
    "geometry": {"name": "vnet", "options": {"depth": 1}},
    "overlap": 0,
    "styles": [],
    "tile": 8,
}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    return fields(tmp_path_factory.mktemp("learnt"), count=3, quantities={"input": "displacement"})


def lattice(catalogue):
    return index(catalogue, 8, None, geometry_of("vnet", {"depth": 1}))


@pytest.mark.parametrize(
    "given, settings, complaint",
    [
        ({"channels": 2}, {}, "'n1': an input of 2 x displacement; the model was trained on 3 x displacement"),
        ({"quantities": {}}, {}, "'n1': an input of 3 x scalar; the model was trained on 3 x displacement"),
        ({"space": (8, 8)}, {}, "'n1': 2 axes of space; the model was trained on 3"),
        ({"box_size": 8.5}, {}, "'n1': voxels of 1.0625 x 1.0625 x 1.0625 Mpc/h; the model was trained on 1 x 1 x 1"),
        ({}, {"styles": ["omega_b"]}, "'n1': no number 'omega_b', which the model is told"),
        ({"space": (7, 8, 8)}, {}, "'n1': inference.tile: 7; the model takes multiples of 2, nearest 6 or 8"),
        ({"bad": np.nan}, {}, "'n1': values that are not finite; the model was trained without any"),
        (
            {"periodic": False},
            {"geometry": {"name": "vnet", "options": {"depth": 1, "padding": "periodic"}}},
            "'n1': not periodic, but the model is",
        ),
        ({"space": (16, 8, 8)}, {"overlap": 6}, "'n1': inference.overlap: 6 voxels of tiles of 8; expected at most 4"),
    ],
)
def test_samples_that_do_not_fit_are_refused(tmp_path, learnt, given, settings, complaint):
    catalogue = new(tmp_path / "new", **{"quantities": {"input": "displacement"}, **given})
    with pytest.raises((DataError, ConfigError)) as caught:
        admission.fits(catalogue.samples[0], learnt, Crops(lattice(learnt)), {**ADMITTED, **settings})
    assert f"sample {complaint}" in str(caught.value) and "\n" not in str(caught.value)


def test_tiles_with_a_given_halo_are_admitted_as_the_network_sees_them(tmp_path, learnt):
    """Zeros behind one voxel of halo on both sides: tiles of six are eight to the network."""
    zero = {"name": "vnet", "options": {"depth": 2, "padding": "zero"}}
    crops = Crops(index(learnt, 6, None, geometry_of("vnet", zero["options"]), halo=1))
    catalogue = new(tmp_path / "new", quantities={"input": "displacement"})
    settings = {**ADMITTED, "geometry": zero}
    assert admission.fits(catalogue.samples[0], learnt, crops, {**settings, "tile": 6})[-1] == "6 6 6"
    with pytest.raises(ConfigError, match="'n1': inference.tile: 10; the model takes multiples of 4"):
        admission.fits(catalogue.samples[0], learnt, crops, {**settings, "tile": 8})


@pytest.mark.parametrize("tolerance", [0.1, None])
def test_another_cell_is_admitted_when_the_config_says_so(tmp_path, learnt, tolerance):
    catalogue = new(tmp_path / "new", (16, 8, 8), quantities={"input": "displacement"}, box_size=[17.0, 8.0, 8.0])
    row = admission.fits(
        catalogue.samples[0], learnt, Crops(lattice(learnt)), {**ADMITTED, "cell_tolerance": tolerance}
    )
    assert row == ("n1", "16 8 8", "1.0625 1 1", "1 1 1", "8 8 8")


def test_the_table_of_admitted_samples_and_the_line_of_a_refusal(tmp_path, learnt):
    files = SimpleNamespace(**{name: tmp_path / f"{name}.csv" for name in ("samples", "catalogue", "crops")})
    learnt.write(files.catalogue)
    with open(files.crops, "wb") as stream:
        np.savez(stream, **lattice(learnt))
    new(tmp_path / "new", quantities={"input": "displacement"}).write(files.samples)
    assert admission.admit_samples(ADMITTED, files, tmp_path / "out.csv", "boxes") == "2 samples"
    assert [row["sample"] for row in csv.DictReader((tmp_path / "out.csv").open())] == ["n1", "n2"]
    new(tmp_path / "new").write(files.samples)
    with pytest.raises(DataError, match=r"^predictions.boxes: sample 'n1': an input of 3 x scalar"):
        admission.admit_samples(ADMITTED, files, tmp_path / "out.csv", "boxes")


# ---- prediction


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "pictures", lambda *_: None)
        catalogue = fields(folder, channels={"input": 3, "target": {"a": 1, "b": 2}})
        files = Files(folder / "run", catalogue, fold=1)
        training(files, epochs=1)
    predict({"inference": files.experiment["inference"]}, files, str(files.predictions), 1, files.job)
    return files


def test_an_input_alone_is_predicted_as_the_held_out_sample_with_the_same_input(trained, tmp_path):
    held_out = Catalogue.read(trained.catalogue).held_out(1)
    source = {"kind": "npy", "input": [part.file for s in held_out for part in s.parts("input")]}
    catalogue = make_catalogue({"source": source, "folds": FOLDS, "on_nonfinite": "refuse"}, [])
    catalogue.write(tmp_path / "samples.csv")
    files = SimpleNamespace(**vars(trained) | {"samples": tmp_path / "samples.csv"})
    said = predict_new({"inference": trained.experiment["inference"]}, files, tmp_path / "p.h5", 1, trained.job)
    assert said == "2 samples"
    for sample, alone in zip(held_out, catalogue, strict=True):
        with_target = predictions.read(trained.predictions, sample.id)
        assert np.array_equal(predictions.read(tmp_path / "p.h5", alone.id), with_target)
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["model"] == json.loads(trained.record.read_text())["sha256"]


def test_another_box_is_predicted_whole(trained, tmp_path):
    new(tmp_path / "new", space=(12, 8, 16)).write(tmp_path / "samples.csv")
    files = SimpleNamespace(**vars(trained) | {"samples": tmp_path / "samples.csv"})
    predict_new({"inference": trained.experiment["inference"]}, files, tmp_path / "p.h5", 1, trained.job)
    values = predictions.read(tmp_path / "p.h5", "n1")
    assert values.shape == (3, 12, 8, 16) and np.isfinite(values).all() and values.std() > 0


# ---- ensembles


def made(path, model, **arrays):
    with predictions.create(path, {"model": model}) as file:
        for name, values in arrays.items():
            place = (slice(None),) * values.ndim
            predictions.add(file, name, values.shape, [(place, values)], {"quantity": "vector"}, "none")
    return path


def test_mean_and_spread_of_the_models(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 2, 6, 6, 6)).astype("f4")
    files = [made(tmp_path / f"{k}.h5", f"m{k}", a=values[k], b=values[k, :1]) for k in range(3)]
    outputs = SimpleNamespace(mean=tmp_path / "mean.h5", spread=tmp_path / "spread.h5")
    job = SimpleNamespace(say=print)
    assert combine({"compression": "lzf"}, files, outputs, job) == "2 samples of 3 models"
    whole = values.astype(float)
    around = np.sqrt(((whole - whole.mean(0)) ** 2).sum(0) / 2)
    np.testing.assert_allclose(predictions.read(outputs.mean, "a"), whole.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(predictions.read(outputs.spread, "a"), around, rtol=1e-6)
    assert predictions.read(outputs.mean, "b").shape == (1, 6, 6, 6)
    with h5py.File(outputs.mean) as file:
        assert list(file.attrs["models"]) == ["m0", "m1", "m2"] and file["a"].attrs["quantity"] == "vector"


def test_models_that_predicted_other_samples_are_no_ensemble(tmp_path):
    zero = np.zeros((1, 4, 4), "f4")
    files = [made(tmp_path / "0.h5", "x", a=zero, b=zero), made(tmp_path / "1.h5", "y", a=zero, c=zero)]
    outputs = SimpleNamespace(mean=tmp_path / "mean.h5", spread=tmp_path / "spread.h5")
    with pytest.raises(DataError, match=r"1.h5: another sample or shape than in .*0.h5: b, c; delete it"):
        combine({"compression": "lzf"}, files, outputs, SimpleNamespace(say=print))
    assert not outputs.mean.exists()


# ---- files for other programs

NPY = {"kind": "npy", "path": None, "dtype": "float32", "parts": ["a", "b"]}


@pytest.fixture
def held_out(trained):
    files = SimpleNamespace(
        predictions=[str(trained.predictions)], samples=trained.catalogue, catalogue=trained.catalogue
    )
    return files, [sample.id for sample in Catalogue.read(trained.catalogue).held_out(1)]


def test_parts_are_split_again_under_the_names_that_the_user_chose(trained, held_out, tmp_path):
    files, ids = held_out
    assert write({**NPY, "path": "{id}/{part}_out.npy"}, files, str(tmp_path / "files"), None) == "2 samples"
    found = {path.relative_to(tmp_path / "files").as_posix(): path for path in tmp_path.rglob("*.npy")}
    assert set(found) == {f"{name}/{part}_out.npy" for name in ids for part in "ab"}
    for name in ids:
        whole = predictions.read(trained.predictions, name)
        a, b = (np.load(found[f"{name}/{part}_out.npy"], allow_pickle=False) for part in "ab")
        assert np.array_equal(a, whole[:1]) and np.array_equal(b, whole[1:])
        assert a.dtype == b.dtype == np.float32 and a.flags.c_contiguous


def test_double_precision_on_request(trained, held_out, tmp_path):
    files, ids = held_out
    write({**NPY, "dtype": "float64"}, files, str(tmp_path), None)
    values = np.load(tmp_path / f"{ids[0]}_a.npy", allow_pickle=False)
    assert values.dtype == np.float64 and np.array_equal(values, predictions.read(trained.predictions, ids[0])[:1])


def test_hdf5_files_are_read_again_as_a_dataset_is(trained, held_out, tmp_path):
    files, ids = held_out
    write({**NPY, "kind": "hdf5"}, files, str(tmp_path), None)
    patterns = {part: f"{tmp_path}/{{id}}.h5" for part in "ab"}
    catalogue = make_catalogue(
        {"source": {"kind": "hdf5", "input": patterns}, "folds": FOLDS, "on_nonfinite": "refuse"}, []
    )
    assert [sample.id for sample in catalogue] == ids
    for sample in catalogue:
        assert sample.box_size == (8.0, 8.0, 8.0) and sample.quantities("input") == (("scalar", 1), ("scalar", 2))
        with h5py.File(tmp_path / f"{sample.id}.h5") as file:
            assert np.array_equal(
                np.concatenate([file["a"], file["b"]]), predictions.read(trained.predictions, sample.id)
            )


def test_a_box_that_is_open_along_an_axis_says_so(tmp_path):
    catalogue = new(tmp_path / "new", samples=["a"], periodic=[True, True, False], channels=1, box_size=4.0)
    catalogue.write(tmp_path / "c.csv")
    fields(tmp_path / "f", 3, channels={"input": 1, "target": 1}).write(tmp_path / "learnt.csv")
    path = made(tmp_path / "p.h5", "m", a=np.zeros((1, 8, 8, 8), "f4"))
    files = SimpleNamespace(predictions=[path], samples=tmp_path / "c.csv", catalogue=tmp_path / "learnt.csv")
    write({**NPY, "kind": "hdf5", "parts": [""]}, files, str(tmp_path / "files"), None)
    (sample,) = hdf5(input=f"{tmp_path}/files/{{id}}.h5", datasets={"input": "target"})
    assert sample.around == (True, True, False) and sample.box_size == (4.0, 4.0, 4.0)


def test_one_file_of_all_samples_has_a_group_for_each(trained, held_out, tmp_path):
    files, ids = held_out
    write({**NPY, "kind": "hdf5", "path": "out/all.h5"}, files, str(tmp_path), None)
    with h5py.File(tmp_path / "out/all.h5") as file:
        assert sorted(file) == sorted(ids)
        assert np.array_equal(file[ids[0]]["b"], predictions.read(trained.predictions, ids[0])[1:])
    source = {"input": f"{tmp_path}/out/all.h5", "datasets": {"input": f"{ids[0]}/a"}}
    assert hdf5(**source)[0].shape("input") == (1, 8, 8, 8)


def test_datasets_keep_the_names_that_they_had_unless_two_have_the_same():
    part = SimpleNamespace(shape=(1, 4), quantity="scalar", dataset="snapshot/density")
    (piece,) = layout([part], [""])
    assert (piece.dataset, piece.part, piece.channels) == ("snapshot/density", "", slice(0, 1))
    assert [piece.dataset for piece in layout([part, part], ["one", "two"])] == ["one", "two"]
    assert layout([SimpleNamespace(shape=(3, 4), quantity="scalar", dataset="")], [""])[0].dataset == "target"


def test_two_samples_never_share_a_path(tmp_path):
    zero = np.zeros((2, 4, 4), "f4")
    catalogue = fields(tmp_path / "f", 3, (4, 4), {"input": 1, "target": {"a": 1, "b_a": 1}})
    catalogue.write(tmp_path / "learnt.csv")
    new(tmp_path / "new", (4, 4), 1, samples=["x", "x_b"]).write(tmp_path / "new.csv")
    path = made(tmp_path / "p.h5", "m", **{"x": zero, "x_b": zero})
    files = SimpleNamespace(predictions=[path], samples=tmp_path / "new.csv", catalogue=tmp_path / "learnt.csv")
    with pytest.raises(ConfigError, match="write.path: two samples make x_b_a.npy; expected a path for each"):
        write({**NPY, "parts": ["a", "b_a"]}, files, str(tmp_path / "files"), None)


@pytest.mark.parametrize("name", ["../x", "..", "a/../../x", "/etc/x", "a/b"])
def test_a_sample_id_never_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(DataError, match="leads out of"):
        path_of(tmp_path / "files", "{id}" if name == ".." else "{id}.npy", name, "")


def test_a_file_that_is_there_is_replaced_and_never_written_into(trained, held_out, tmp_path):
    """A hard link to an input, under the name of an output: the input keeps its bytes."""
    files, ids = held_out
    precious = tmp_path / "precious.npy"
    np.save(precious, np.zeros(3))
    before = precious.read_bytes()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / f"{ids[0]}_a.npy").hardlink_to(precious)
    (tmp_path / "files" / f"{ids[0]}_b.npy").symlink_to(precious)
    write(NPY, files, str(tmp_path / "files"), None)
    assert precious.read_bytes() == before and not (tmp_path / "files" / f"{ids[0]}_b.npy").is_symlink()


def test_a_dataset_that_reads_what_predictions_write_is_refused(tmp_path):
    own = tmp_path / "results/predictions/a/files"
    own.mkdir(parents=True)
    (own / "x.npy").write_bytes(b"")
    (tmp_path / "link.npy").symlink_to(own / "x.npy")
    (tmp_path / "folder").symlink_to(own)
    outside = tmp_path / "results/x.npy"
    admission.refuse_own(tmp_path / "results/predictions", {"d": [(str(outside), 1, 2)]})
    for path in (own / "x.npy", tmp_path / "link.npy", tmp_path / "folder/x.npy", own / "../files/x.npy"):
        with pytest.raises(ConfigError, match=r"^datasets.d.source: reads .*, where predictions are written; expected"):
            admission.refuse_own(tmp_path / "results/predictions", {"d": [(str(path), 1, 2)]})


def test_a_folder_of_predictions_that_leads_into_the_inputs_is_refused(tmp_path):
    (tmp_path / "results/predictions").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "results/predictions/a").symlink_to(tmp_path / "data")
    with pytest.raises(ConfigError, match="where predictions are written"):
        admission.refuse_own(tmp_path / "results/predictions", {"d": [(str(tmp_path / "data/x.npy"), 1, 2)]})
