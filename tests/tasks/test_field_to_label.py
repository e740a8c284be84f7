"""Labels from slices and whole samples: what is learnt from what, and that nothing held out has a say in it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from m2m_core.data import predictions
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.catalogue import build as catalogued
from m2m_core.errors import DataError
from m2m_core.evaluation import evaluate
from m2m_core.inference.stage import predict
from m2m_core.metrics import judging, table
from m2m_core.models.weights import load_weights
from m2m_core.simulations.gravity import gravity
from m2m_core.tasks.protocol import build
from m2m_core.tasks.study import read_record
from m2m_core.training.stage import identity_of
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import experiment, labelled, study

SLICES = {"kind": "slices"}
MODEL = {"name": "penguin", "layer_param": 4}
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("cubes"), 12)


def settings(**changes):
    return experiment(**({"task": "field_to_label", "crops": SLICES, "model": MODEL} | changes))


def task_of(catalogue, fold=0, **changes):
    return build(study(catalogue, settings(**changes), fold))


def asked(task, **options):
    return {"name": "field_to_label", "labels": ["gr"], **task, **options}


# ---- examples


def test_every_slice_is_an_example_once_and_both_cubes_of_a_seed_share_a_side(catalogue):
    split = task_of(catalogue).samples()
    for part in split.fit, split.validate:
        assert len({tuple(example) for example in part}) == len(part) and len(part) % 24 == 0
    seeds = [{catalogue[e[0]].group for e in part} for part in (split.fit, split.validate)]
    seeds.append({sample.group for sample in split.predict})
    assert all(not a & b for i, a in enumerate(seeds) for b in seeds[:i])


def test_an_item_is_the_slice_normalised_and_its_hard_label(catalogue):
    task = task_of(catalogue)
    name = next(s.id for s in catalogue.training(0) if s.parameters["gr"] == 1)
    field = np.load(catalogue[name].parts("input")[0].file)[0]
    for axis in range(3):
        source, target = task.item((name, axis, 3), None)
        assert np.allclose(source[0], field.take(3, axis), atol=1e-6) and source.dtype == target.dtype == np.float32
        assert target.tolist() == [1.0]


def test_what_is_not_finite_is_the_mean(tmp_path):
    known = labelled(tmp_path, 6)
    file = known.samples[0].arrays[0].file
    values = np.load(file)
    values[0, 3, 1, 2] = np.nan
    np.save(file, values)
    odd = catalogued(
        [replace(s, fields={"input": (replace(s.arrays[0], digest=""),)}) for s in known],
        {s.id: s.fold for s in known},
        "mask",
    )
    source, _ = task_of(odd, fold=(odd.samples[0].fold + 1) % 3).item(("0", 0, 3), None)
    assert source[0, 1, 2] == 0 and np.isfinite(source).all() and np.count_nonzero(source) == 63


def test_thick_slices_are_channels_and_whole_cubes_are_cubes(catalogue):
    thick = task_of(catalogue, crops={**SLICES, "thickness": 2})
    example = thick.samples().fit[0]
    assert thick.item(example, np.random.default_rng(1))[0].shape == (2, 8, 8)
    whole = task_of(catalogue, crops={"kind": "whole"})
    assert whole.item(whole.samples().fit[0], None)[0].shape == (1, 8, 8, 8)


def test_augmentation_moves_and_turns_and_changes_no_value(catalogue):
    task = task_of(catalogue)
    example = task.samples().fit[5]
    plain = np.sort(task.item(example, None)[0], axis=None)
    drawn = [task.item(example, np.random.default_rng(n))[0] for n in range(6)]
    assert all(np.allclose(np.sort(image, axis=None), plain) for image in drawn)
    assert not np.array_equal(drawn[0], drawn[1])


# ---- labels


def test_labels_are_what_was_written_whatever_the_smoothing(catalogue):
    """The system before compared smoothed float32 labels with float64 ones, and took 0.1 for true."""
    task = task_of(catalogue, loss={"name": "binary_cross_entropy", "smoothing": 0.2})
    labels = [float(task.item(example, np.random.default_rng(0))[1][0]) for example in task.samples().fit]
    assert set(labels) == {0.0, 1.0} and np.mean(labels) == 0.5
    for module in task.modules.values():
        module.eval()
    for sample in task.samples().predict:
        rows = task.evaluate(task.predict(sample).whole(), sample)
        assert {value for _, _, metric, _, value in rows if metric == "label"} == {sample.parameters["gr"]}


def test_label_noise_is_of_samples_repeats_and_never_reaches_what_judges(catalogue):
    many = Catalogue(tuple(replace(s, id=f"{n}-{s.id}") for n in range(40) for s in catalogue))
    task = task_of(many, task=asked({}, label_noise=0.3), crops={"kind": "whole"})
    fit = task.samples().fit
    noisy = [task.item((e[0], -1, 0), np.random.default_rng(0))[1][0] for e in fit]
    again = [task.item((e[0], -1, 0), np.random.default_rng(9))[1][0] for e in fit]
    truth = [many[e[0]].parameters["gr"] for e in fit]
    assert noisy == again and np.mean(np.array(noisy) != truth) == pytest.approx(0.3, abs=0.08)
    assert [task.item(e, None)[1][0] for e in fit] == truth


def test_labels_that_are_missing_or_no_classes_are_refused_by_their_sample(catalogue):
    with pytest.raises(DataError, match="task.labels: sample '0' has no number 'theory'; expected one of redshift"):
        task_of(catalogue, task=asked({"labels": ["theory"]}))
    odd = Catalogue((*catalogue.samples[:-1], replace(catalogue.samples[-1], parameters={"gr": 0.1})))
    with pytest.raises(DataError, match="sample '11': label gr is 0.1; expected 0 or 1"):
        task_of(odd)


def test_a_changed_label_is_another_training(catalogue):
    first = study(catalogue, settings())
    other = Catalogue(tuple(replace(s, parameters={"gr": 1 - s.parameters["gr"]}) for s in catalogue))
    assert identity_of(first.experiment, first) != identity_of(first.experiment, study(other, settings()))


# ---- nothing that is held out has a say


def test_held_out_samples_change_neither_model_nor_baseline(catalogue, tmp_path):
    """The system before standardised with all seeds, and chose its model by the test set."""
    held = {s.id for s in catalogue.held_out(0)}
    swapped = Catalogue(
        tuple(replace(s, parameters={"gr": 1 - s.parameters["gr"]}) if s.id in held else s for s in catalogue)
    )
    found = []
    for name, known in (("a", catalogue), ("b", swapped)):
        files = Files(tmp_path / name, known, task="field_to_label", crops=SLICES, model=MODEL)
        training(files, epochs=2, batch_size=16)
        found.append((files.model.read_bytes(), task_of(known).baselines["power_spectrum_baseline"].model.weights))
    assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("loss", ["gaussian_likelihood", "moments", "log_moments"])
def test_parameters_are_told_with_their_variances(tmp_path, loss):
    catalogue = labelled(tmp_path / "d", 12, numbers=lambda n: {"steepness": 0.2 * n, "offset": 0.01 * n})
    asked_ = {"name": "field_to_label", "labels": ["steepness", "offset"], "answer": "regression"}
    task = task_of(catalogue, task=asked_, loss=loss)
    training_truths = np.array([[s.parameters[n] for n in asked_["labels"]] for s in catalogue.training(0)])
    assert np.array_equal(task.answers.mean, training_truths.mean(0))
    batch = task.collate([task.item(task.samples().fit[n], None) for n in range(0, 96, 4)])
    values = [float(task.step(batch)["loss"]) for _ in range(40)]
    assert min(values[-5:]) < values[0] - 0.3
    sample = task.samples().predict[0]
    rows = task.evaluate(task.predict(sample).whole(), sample)
    found = {(source, field, metric): value for source, field, metric, _, value in rows}
    for source in ("emulator", "power_spectrum_baseline"):
        assert found[source, "steepness", "label"] == sample.parameters["steepness"]
        assert found[source, "steepness", "variance"] > 0 and 0 <= found[source, "offset", "slice_within_2"] <= 1


def test_several_classes_are_told(tmp_path):
    catalogue = labelled(tmp_path / "d", 12, numbers=lambda n: {"kind": float(n % 3)})
    task = task_of(
        catalogue,
        task={"name": "field_to_label", "labels": ["kind"], "answer": "classes", "classes": 3},
        loss={"name": "categorical_cross_entropy", "smoothing": 0.1},
    )
    batch = task.collate([task.item(task.samples().fit[n], None) for n in range(len(task.samples().fit))])
    accuracy = [float(task.step(batch)["accuracy"]) for _ in range(15)][-1]
    assert accuracy > 0.6
    sample = task.samples().predict[0]
    rows = task.evaluate(task.predict(sample).whole(), sample)
    assert {x for source, _, metric, x, _ in rows if metric == "score"} == {0, 1, 2}


# ---- the stages


@pytest.fixture(scope="module")
def done(catalogue, tmp_path_factory):
    """The files of a fold after training, inference and evaluation."""
    changes = {"task": "field_to_label", "crops": SLICES, "model": MODEL, "inference": {"saliency": 2}}
    files = Files(tmp_path_factory.mktemp("stages"), catalogue, **changes)
    training(files, epochs=6, batch_size=16, workers=0)
    chosen = {key: files.experiment[key] for key in ("inference", "evaluation")}
    predict(chosen, files, files.predictions, 0, files.job)
    evaluate(chosen, files, files.table, 0, files.job)
    return files


def test_the_stages_tell_what_differs_from_a_held_out_seed_to_the_next(done, catalogue):
    rows = [row for row in table.read(done.table) if row.metric == "score"]
    truth = {sample.id: sample.parameters["gr"] for sample in catalogue}
    for source in ("emulator", "power_spectrum_baseline"):
        found = [(row.value, truth[row.sample] == 1) for row in rows if row.source == source]
        assert len(found) == len(catalogue.held_out(0))
        assert judging.roc(*zip(*found, strict=True)).area == 1.0  # the spectra of the pairs differ by k^-1


def test_predictions_are_a_table_of_the_slices(done, catalogue):
    sample = catalogue.held_out(0)[0]
    values = predictions.read(done.predictions, sample.id)
    assert values.shape == (3, 24)
    assert [tuple(place) for place in values[:2].T] == [(axis, n) for axis in range(3) for n in range(8)]


def test_the_saliency_is_the_slope_of_the_answer(done, catalogue):
    kept = predictions.beside(done.predictions)
    assert list(kept) == sorted(sample.id for sample in catalogue.held_out(0)[:2])
    name, arrays = next(iter(kept.items()))
    assert arrays["inputs"].shape == arrays["maps"].shape == (3, 8, 8) and arrays["cube"].shape == (8, 8, 8)
    task = task_of(catalogue)
    load_weights(done.model, task.modules, read_record(done.record)["sha256"])
    network = task.modules["model"].eval().double()
    x = torch.from_numpy(arrays["inputs"][:1])[None].double()
    strongest = divmod(int(arrays["maps"][0].argmax()), 8)
    step = torch.zeros_like(x)
    step[0, 0, *strongest] = 1e-4
    with torch.no_grad():
        slope = float(network(x + step) - network(x - step)) / 2e-4
    assert abs(slope) == pytest.approx(arrays["maps"][0].max(), rel=1e-3)
    assert arrays["cube"].min() >= 0 and arrays["cube"].sum() > arrays["maps"].sum()


def test_predictions_of_the_stage_are_those_of_the_task(done, catalogue):
    """Whole, slice by slice, in any batch."""
    task = task_of(catalogue)
    for sample in catalogue.held_out(0):
        assert task.predict(sample).shape == predictions.read(done.predictions, sample.id).shape


def theories(folder, mesh, **options):
    """A catalogue of pairs of the embedded simulator."""
    catalogue = labelled(folder, 24, edge=mesh)
    for sample in catalogue:
        field = gravity(int(sample.id), mesh=mesh, box_size=20.0 * mesh, **options).fields["input"].values
        np.save(sample.parts("input")[0].file, (field / 1e-5).astype("f4"))
    return Catalogue(tuple(replace(sample, parameters={"gr": 1.0 - int(sample.id) % 2}) for sample in catalogue))


def right_on_all_folds(catalogue, folder, model):
    """Source -> accuracy in each of three folds, of samples that are held out."""
    found = {}
    for fold in range(3):
        changes = {"task": "field_to_label", "crops": SLICES | {"axes": [0]}, "model": model}
        files = Files(folder / str(fold), catalogue, fold, **changes)
        training(files, epochs=5, batch_size=16)
        task = build(study(catalogue, files.experiment, fold))
        load_weights(files.model, task.modules, read_record(files.record)["sha256"])
        task.modules["model"].eval()
        rows = [row for s in task.samples().predict for row in task.evaluate(task.predict(s).whole(), s)]
        for source in ("emulator", "power_spectrum_baseline"):
            told, truth = ([r[4] for r in rows if r[0] == source and r[2] == name] for name in ("answer", "label"))
            found.setdefault(source, []).append(np.mean(np.equal(told, truth)))
    return {source: (np.mean(shares), np.std(shares, ddof=1) / 3**0.5) for source, shares in found.items()}


@pytest.mark.parametrize("model, mesh", [("penguin", 16), pytest.param("racoon", 32, marks=pytest.mark.long)])
@pytest.mark.parametrize("options, network, spectrum", [
    ({"strength": 1.0}, True, True),
    ({"strength": 0.0, "coupling": 0.5}, True, False),
    ({"strength": 0.0, "shared": False}, False, False),
])  # fmt: skip
def test_theories_are_told_where_they_differ_and_not_where_they_agree(
    tmp_path, model, mesh, options, network, spectrum
):
    """On seeds that are held out, three folds: by the spectrum, beyond it, and by nothing: then a leak would show."""
    catalogue = theories(tmp_path / "d", mesh, **options)
    found = right_on_all_folds(catalogue, tmp_path, {"name": model, "layer_param": 4})
    for source, is_told in (("emulator", network), ("power_spectrum_baseline", spectrum)):
        share, error = found[source]
        assert (share - 0.5 > 3 * max(error, 0.1)) if is_told else abs(share - 0.5) < 0.3
