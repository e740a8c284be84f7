"""Field to field: what it reads, how tiles make a whole, what is masked, who is judged."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from m2m_core.data.augment import Symmetry, draw
from m2m_core.data.catalogue import Catalogue
from m2m_core.data.catalogue import build as catalogued
from m2m_core.errors import ConfigError, DataError
from m2m_core.physics.cosmology import growth
from m2m_core.tasks.protocol import build
from tests.tasks.studies import experiment, fields, study

torch.set_num_threads(1)
IDENTITY = {"input": {"transform": "identity", "scaling": "identity"}, "target": "standardise"}


def task_of(catalogue, fold=0, **changes):
    return build(study(catalogue, experiment(**changes), fold))


def whole_by_hand(task, sample):
    """The trained network on the whole periodic box at once, in physical units."""
    source = task.normal["input"].forward(task.fields.whole(sample, "input"), sample)
    with torch.no_grad():
        output = task._network("periodic")
        output.load_state_dict(task.modules["model"].state_dict())
        output = output.eval()(torch.from_numpy(source)[None])[0].numpy()
    return task.normal["target"].inverse(output, sample)


# ---- the identity network


class Same(nn.Module):
    def __init__(self, halo):
        super().__init__()
        self.halo = halo
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        inside = (slice(self.halo, -self.halo or None),) * (x.ndim - 2)
        return x[:, :, *inside]


@pytest.mark.parametrize("tile", [None, 8, 6, 4])
def test_the_identity_network_returns_its_input(tmp_path, tile):
    same = {"input": "standardise", "target": "standardise"}
    model = {"name": "vnet", "width": 2, "depth": 1, "padding": "valid"}
    catalogue = fields(tmp_path, space=(24, 24, 24))
    task = task_of(catalogue, normalize=same, crops={"size": 8}, model=model, inference={"tile": tile})
    task.modules["model"] = Same(task.study.crops.halo[0])
    sample = task.samples().predict[0]
    prediction = task.predict(sample).whole()
    np.testing.assert_allclose(prediction, task.fields.whole(sample, "input"), atol=1e-6)


def test_an_item_is_the_crop_with_its_halo_and_the_crop(tmp_path):
    catalogue = fields(tmp_path, space=(24, 24, 24))
    model = {"name": "vnet", "width": 2, "depth": 1, "padding": "valid"}
    task = task_of(catalogue, normalize=IDENTITY, crops={"size": 8, "step": 4}, model=model)
    halo = task.study.crops.halo[0]
    example = next(e for e in task.samples().fit if e[1] != (0, 0, 0))
    source, target = task.item(example, None)
    sample = catalogue[example[0]]
    index = [np.arange(a - halo, a + 8 + halo) % 24 for a in example[1]]
    expected = np.load(sample.parts("input")[0].file)[np.ix_(range(3), *index)]
    assert halo > 0 and np.array_equal(source, expected)
    inside = source[(slice(None), *(slice(halo, -halo),) * 3)]
    raw = np.load(sample.parts("target")[0].file)[:, *(slice(a, a + 8) for a in example[1])]
    mean, std = (np.reshape(v, (3, 1, 1, 1)) for v in ([0, 0.1, 0.2], [1, 1.1, 1.2]))
    np.testing.assert_allclose(target, (raw - mean) / std, rtol=1e-5, atol=1e-6)
    assert inside.shape == target.shape and source.dtype == target.dtype == np.float32


# ---- tiles


@pytest.mark.parametrize("space", [(24, 24, 24), (24, 32, 28)])
@pytest.mark.parametrize("name", ["vnet", "unet"])
def test_tiles_equal_the_whole_periodic_box(tmp_path, space, name):
    catalogue = fields(tmp_path, count=3, space=space)
    model = {"name": name, "width": 2, "depth": 1, "padding": "valid"}
    task = task_of(catalogue, crops={"size": 8}, model=model)
    task.modules["model"].eval()
    sample = task.samples().predict[0]
    np.testing.assert_allclose(task.predict(sample).whole(), whole_by_hand(task, sample), atol=1e-5)


def test_a_network_trained_on_whole_boxes_predicts_in_tiles(tmp_path):
    catalogue = fields(tmp_path, count=3, space=(24, 24))
    whole = task_of(catalogue, crops={"size": 24})
    tiled = task_of(catalogue, crops={"size": 24}, inference={"tile": 8})
    assert whole.study.crops.whole and whole.study.crops.padding == "periodic"
    sample = whole.samples().predict[0]
    for task in (whole, tiled):
        task.modules["model"].eval()
    assert len(list(whole.predict(sample).blocks)) == 1 and len(list(tiled.predict(sample).blocks)) == 9
    np.testing.assert_allclose(tiled.predict(sample).whole(), whole.predict(sample).whole(), atol=1e-5)
    with torch.no_grad():  # the twin follows the weights
        for parameter in tiled.modules["model"].parameters():
            parameter.add_(0.1)
    whole.modules["model"].load_state_dict(tiled.modules["model"].state_dict())
    np.testing.assert_allclose(tiled.predict(sample).whole(), whole.predict(sample).whole(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", [(20, 24), (12, 16, 20)])
def test_tiles_of_open_boxes_agree_with_larger_ones(tmp_path, space):
    catalogue = fields(tmp_path, count=3, space=space, periodic=False)
    model = {"name": "vnet", "width": 2, "depth": 1, "padding": "valid"}
    small, large = (
        task_of(catalogue, crops={"size": 4}, model=model, inference={"tile": tile}) for tile in (4, list(space))
    )
    sample = small.samples().predict[0]
    for task in (small, large):
        task.modules["model"].eval()
    np.testing.assert_allclose(small.predict(sample).whole(), large.predict(sample).whole(), atol=1e-5)


@pytest.mark.parametrize(
    "tile, problem", [(5, "inference.tile: 5; the model takes multiples of 2"), ([8, 8], "2 edges")]
)
def test_tiles_that_cannot_be(tmp_path, tile, problem):
    task = task_of(fields(tmp_path, count=3), inference={"tile": tile})
    with pytest.raises((ConfigError, DataError), match=problem):
        task.predict(task.samples().predict[0]).whole()


# ---- augmentation


@pytest.mark.parametrize("seed", range(6))
def test_fields_of_several_parts_turn_as_what_they_are(tmp_path, seed):
    channels = {"input": {"flow": 3, "mass": 1}, "target": {"drift": 3, "heat": 1}}
    quantities = {"flow": "vector", "drift": "displacement"}
    catalogue = fields(tmp_path, channels=channels, quantities=quantities)
    task = task_of(catalogue, normalize=IDENTITY, training={"augment": ["flip", "permute"]})
    example = task.samples().fit[0]
    sample = catalogue[example[0]]
    drawn = draw(np.random.default_rng(seed), ["flip", "permute"], (8, 8, 8), (8, 8, 8), True)
    source, target = task.item(example, np.random.default_rng(seed))
    raw = [np.load(part.file) for part in sample.parts("input")]
    assert np.array_equal(source[:3], by_hand(drawn, raw[0], True))
    assert np.array_equal(source[3:], by_hand(drawn, raw[1], False))
    drift = by_hand(drawn, np.load(sample.parts("target")[0].file), True)
    shift, spread = np.array([0, 0.1, 0.2], "f4"), np.array([1, 1.1, 1.2], "f4")
    np.testing.assert_allclose(
        target[:3], (drift - shift[:, None, None, None]) / spread[:, None, None, None], rtol=1e-5
    )


def test_what_is_learnt_stays_in_its_part_of_the_box(tmp_path):
    """Shifts and symmetries included; halos may read beyond."""
    catalogue = fields(tmp_path, space=(16, 16, 16))
    for sample in catalogue:
        path = sample.parts("target")[0].file
        values = np.load(path)
        values[:, 8:] = 1000.0  # stands for what must not be seen
        np.save(path, values)
    crops = {"size": 4, "stop": [8, 16, 16]}
    model = {"name": "vnet", "width": 1, "depth": 1, "padding": "zero"}
    kinds = ["flip", "permute", "shift"]
    task = task_of(catalogue, normalize=IDENTITY, crops=crops, training={"augment": kinds}, model=model)
    examples = task.samples().fit
    assert {example[1][0] for example in examples} == {0, 4}
    for number in range(0, len(examples), 3):
        _, target = task.item(examples[number], np.random.default_rng(number))
        assert target.max() < 500


def test_factors_and_offsets_are_those_of_both_sides_and_of_training_alone(tmp_path):
    task = task_of(
        fields(tmp_path), normalize=IDENTITY, training={"augment": [], "augment_factor": 0.5, "augment_offset": 1.0}
    )
    plain = task_of(task.study.catalogue, normalize=IDENTITY, training={"augment": []})
    example = task.samples().fit[0]
    sides = zip(
        task.item(example, np.random.default_rng(1)), plain.item(example, np.random.default_rng(1)), strict=True
    )
    lines = [[np.polyfit(old[c].ravel(), new[c].ravel(), 1) for c in range(3)] for new, old in sides]
    np.testing.assert_allclose(lines[0], lines[1], rtol=1e-3, atol=1e-4)
    assert not np.allclose(lines[0], [1, 0], atol=1e-2)
    assert all(map(np.array_equal, task.item(example, None), plain.item(example, None)))


# ---- styles


def test_a_styled_network_is_told_the_numbers_of_its_sample(tmp_path):
    """In training and in prediction: another matter density, another field."""
    catalogue = fields(tmp_path)
    samples = tuple(replace(s, parameters={"sigma_8": 0.7 + 0.05 * i}) for i, s in enumerate(catalogue))
    model = {"name": "styled_vnet", "width": 2, "depth": 1, "padding": "periodic"}
    styles = {"sigma_8": {"shift": 0.8, "spread": 0.1}, "growth": {}}
    task = task_of(Catalogue(samples), model=model, styles=styles)
    example = task.samples().fit[0]
    source, target, style = task.item(example, None)
    assert np.allclose(style, [(task.study.catalogue[example[0]].parameters["sigma_8"] - 0.8) / 0.1, 0], atol=1e-5)
    batch = task.collate([task.item(task.samples().fit[i], np.random.default_rng(i)) for i in range(2)])
    assert batch[2].shape == (2, 2)
    before = float(task.step(batch)["loss"])
    assert float(task.measure(batch)["loss"]) != before
    task.modules["model"].eval()
    sample = task.samples().predict[0]
    other = replace(sample, parameters={"sigma_8": 1.5})
    assert not np.allclose(task.predict(sample).whole(), task.predict(other).whole())


def test_a_network_of_displacement_and_velocity_is_told_matter_and_growth_whatever_the_order_of_the_config(tmp_path):
    catalogue = fields(tmp_path, channels={"input": 3, "target": 6})
    samples = tuple(replace(s, redshift=1.0, omega_m=0.2 + 0.05 * i) for i, s in enumerate(catalogue))
    model = {"name": "displacement_velocity", "width": 2, "depth": 1, "padding": "periodic"}
    task = task_of(Catalogue(samples), model=model, styles={"growth": {}, "omega_m": {}})
    for sample in samples:
        assert np.allclose(task.styles.of(sample), [sample.omega_m, growth(1.0, sample.omega_m)])


def by_hand(symmetry: Symmetry, field, vector):
    """Turn a field voxel by voxel: v'(x') = R v(x), with x' = R x."""
    out, n = np.empty_like(field), field.shape[-1]
    for x in itertools.product(range(n), repeat=3):
        old = [0, 0, 0]
        for axis, (of, sign) in enumerate(zip(symmetry.axes, symmetry.signs, strict=True)):
            old[of] = x[axis] if sign > 0 else n - 1 - x[axis]
        value = field[:, *old]
        out[:, *x] = (
            [value[of] * sign for of, sign in zip(symmetry.axes, symmetry.signs, strict=True)] if vector else value
        )
    return out


def test_validation_examples_are_read_as_they_are(tmp_path):
    task = task_of(fields(tmp_path), normalize=IDENTITY)
    example = task.samples().validate[0]
    source, _ = task.item(example, None)
    assert np.array_equal(source, task.fields.whole(task.study.catalogue[example[0]], "input"))


# ---- values that are not finite


def test_nothing_is_learnt_where_the_target_is_not_finite(tmp_path):
    catalogue = fields(tmp_path)
    task = task_of(spoil(catalogue), training={"augment": []})
    source, target = (t for t in task.collate([task.item(e, None) for e in task.samples().fit]))
    assert task.masked and bool(source.isfinite().all()) and int((~target.isfinite()).sum()) == 4 * len(target)
    network = task.modules["model"]
    source.requires_grad_(True)
    loss = task.measure((source, target))["loss"]
    loss.backward()
    assert bool(loss.isfinite()) and all(bool(p.grad.isfinite().all()) for p in network.parameters())
    kept = torch.isfinite(target)
    expected = (network(source) - target)[kept].square().sum() / target.numel()
    torch.testing.assert_close(loss, expected)


def spoil(catalogue):
    """The catalogue of the same fields with values that are not finite."""
    for sample in catalogue:
        for parts in sample.fields.values():
            values = np.load(parts[0].file)
            values[:, 2, 3, 4] = np.nan
            values[0, 5, 5, 5] = np.inf
            np.save(parts[0].file, values)
    unread = [
        replace(sample, fields={f: tuple(replace(p, digest="") for p in parts) for f, parts in sample.fields.items()})
        for sample in catalogue
    ]
    return catalogued(unread, {s.id: s.fold for s in catalogue}, "mask")


def test_what_is_not_finite_is_predicted_and_judged_as_nothing(tmp_path):
    task = task_of(spoil(fields(tmp_path)))
    task.modules["model"].eval()
    sample = task.samples().predict[0]
    prediction = task.predict(sample).whole()
    assert np.isfinite(prediction).all()
    truth = np.nan_to_num(np.load(sample.parts("target")[0].file), nan=0.0, posinf=0.0)
    truth[0, 5, 5, 5] = 0.0
    rows = {(source, metric): value for source, _, metric, x, value in task.evaluate(prediction, sample) if x is None}
    kept = np.isfinite(np.load(sample.parts("target")[0].file))
    assert rows["emulator", "mse"] == pytest.approx(np.mean(np.where(kept, prediction - truth, 0.0) ** 2), rel=1e-5)
    assert ("input", "mse") in rows
    prediction[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="prediction: 1 of"):
        task.evaluate(prediction, sample)


def test_without_a_mask_nothing_is_searched(tmp_path):
    assert not task_of(fields(tmp_path)).masked


# ---- who is held out, who is judged


def test_groups_are_never_split(tmp_path):
    catalogue = fields(tmp_path, count=12)
    grouped = type(catalogue)(tuple(replace(s, group=f"g{n // 2}", fold=n // 2 % 3) for n, s in enumerate(catalogue)))
    split = task_of(grouped, fold=1).samples()
    group = {sample.id: sample.group for sample in grouped}
    fitted, validating = ({group[id] for id, _ in part} for part in (split.fit, split.validate))
    held_out = {sample.group for sample in split.predict}
    assert fitted and validating and held_out == {"g1", "g4"}
    assert not fitted & validating and not (fitted | validating) & held_out
    assert split.watch.group in validating


def test_baselines_are_judged_beside_the_emulator(tmp_path):
    channels = {"input": 3, "target": 3, "2lpt": 3}
    task = task_of(fields(tmp_path, channels=channels))
    sample = task.samples().predict[0]
    truth = task.fields.whole(sample, "target")
    rows = task.evaluate(truth, sample)
    mse = {source: value for source, _, metric, _, value in rows if metric == "mse"}
    assert list(mse) == ["emulator", "input", "2lpt"] and mse["emulator"] == 0
    expected = np.mean((task.fields.whole(sample, "2lpt") - truth) ** 2)
    assert mse["2lpt"] == pytest.approx(expected, rel=1e-5)


def test_what_is_of_another_kind_is_no_baseline(tmp_path):
    quantities = {"target": "displacement", "2lpt": "displacement", "input": "vector"}
    catalogue = fields(tmp_path, channels={"input": 3, "target": 3, "2lpt": 3}, quantities=quantities)
    task = task_of(catalogue)
    sample = task.samples().predict[0]
    rows = task.evaluate(task.fields.whole(sample, "target"), sample)
    assert {row[0] for row in rows} == {"emulator", "2lpt"} and {row[1] for row in rows} == {"displacement", "density"}


def test_fields_of_two_axes(tmp_path):
    catalogue = fields(tmp_path, space=(16, 16), channels={"input": 2, "target": 1})
    task = task_of(catalogue, crops={"size": 16}, evaluation=["mean_square_error"])
    batch = task.collate([task.item(e, np.random.default_rng(0)) for e in task.samples().fit])
    assert [tuple(part.shape[1:]) for part in batch] == [(2, 16, 16), (1, 16, 16)]
    task.step(batch)
    assert task.predict(task.samples().predict[0]).whole().shape == (1, 16, 16)
