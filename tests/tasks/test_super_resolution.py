"""Super-resolution by the field-to-field task: where fine crops lie, the noise of a sample, tiles, what is judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from m2m_core.crops import Crops, index
from m2m_core.errors import ConfigError
from m2m_core.models import geometry_of
from m2m_core.physics.interpolation import refined
from m2m_core.tasks.protocol import build
from tests.tasks.studies import experiment, fields, study

torch.set_num_threads(1)
RAW = {"input": {"transform": "identity", "scaling": "identity"}, "target": "identity"}


def generator(scale):
    return {"name": "stylegan2_generator", "scale": scale, "width": 4, "narrowest": 2}


def task_of(catalogue, scale, **changes):
    """A task whose network adds noise at every level, as it will once it has learnt to."""
    known = {"crops": {"size": 8}, "model": generator(scale), "evaluation": ["mean_square_error"]}
    task = build(study(catalogue, experiment(**(known | changes))))
    for block in task.modules["model"].blocks:
        torch.nn.init.constant_(block.before, 0.7)
        torch.nn.init.constant_(block.between, 0.4)
        torch.nn.init.normal_(block.project.weight)
    task.modules["model"].eval()
    return task


# ---- examples


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("space", [(12, 12), (9, 9, 9)])
def test_fine_crops_stay_on_their_coarse_ones_under_all_augmentation(tmp_path, scale, space):
    """The target is the input, each voxel divided: so is the target of every example."""
    dims = len(space)
    catalogue = fields(tmp_path, count=3, space=space, scale=scale, channels={"input": dims, "target": dims})
    for sample in catalogue:
        coarse = np.load(sample.parts("input")[0].file)
        np.save(sample.parts("target")[0].file, divided(coarse, scale))
    kinds = ["flip", "permute", "shift"]
    task = task_of(
        catalogue, scale, normalize=RAW, crops={"size": 3}, training={"augment": kinds, "augment_offset": 0.3}
    )
    examples, halo = task.samples().fit, task.geometry.halo
    for number in range(40):
        source, target, *_ = task.item(examples[number % len(examples)], np.random.default_rng(number))
        inside = source[:, *(slice(halo, -halo),) * dims]
        assert np.array_equal(divided(inside, scale), target)


def divided(field, factor):
    """Every voxel as `factor` along each axis."""
    for axis in range(1, field.ndim):
        field = np.repeat(field, factor, axis)
    return field


def test_an_example_brings_the_noise_of_the_network(tmp_path):
    task = task_of(
        fields(tmp_path, count=4, space=(12, 12), scale=2, channels={"input": 1, "target": 1}), 2, crops={"size": 6}
    )
    items = [task.item(task.samples().fit[0], np.random.default_rng(n)) for n in (1, 1, 2)]
    read = task.geometry.reads((6, 6), False)
    assert [part.shape[1:] for part in items[0][2:]] == [level.block((0, 0), read)[1] for level in task.geometry.noise]
    assert all(map(np.array_equal, items[0], items[1])) and not np.array_equal(items[0][2], items[2][2])
    validated = [task.item(task.samples().validate[0], None) for _ in range(2)]
    assert all(map(np.array_equal, *validated)) and validated[0][2].std() > 0.5
    batch = task.collate(items)
    task.modules["model"].train()
    before = float(task.step(batch)["loss"].detach())
    assert float(task.measure(batch)["loss"].detach()) < before


# ---- predictions


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("scale", "space"), [(2, (10, 12)), (4, (8, 9, 10))])
def test_tiles_equal_the_whole_whatever_they_are(tmp_path, scale, space, periodic):
    channels = {"input": 1, "target": 1}
    catalogue = fields(tmp_path, count=3, space=space, scale=scale, channels=channels, periodic=periodic)
    found = []
    for tile in (list(space), 3, [4, 5, 6][: len(space)]):
        task = task_of(catalogue, scale, crops={"size": 2}, inference={"tile": tile})
        torch.manual_seed(3)
        for parameter in task.modules["model"].parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        found.append(task.predict(task.samples().predict[0]).whole())
    assert found[0].shape == (1, *(scale * n for n in space)) and found[0].std() > 0.1
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_periodic_boxes_have_periodic_noise(tmp_path):
    """A box that is moved around its period is predicted as the same box, but for where its noise begins."""
    catalogue = fields(tmp_path, count=3, space=(8, 8), scale=2, channels={"input": 1, "target": 1})
    task = task_of(catalogue, 2)
    for level, around in zip(task.geometry.noise, (1, 2), strict=True):
        corner, n = (-3, 2), 8 * level.scale
        values = task.examples.noise(catalogue.samples[0], corner, (20, 20), 5)[around - 1][0]
        assert np.array_equal(values[:4], values[n : n + 4]) and np.array_equal(values[:, :4], values[:, n : n + 4])


def test_noise_is_of_the_seed_and_of_the_sample(tmp_path):
    catalogue = fields(tmp_path, count=6, space=(8, 8), scale=2, channels={"input": 1, "target": 1})
    one, again, other = (task_of(catalogue, 2, crops={"size": 8}, inference={"seed": seed}) for seed in (0, 0, 1))
    for task in (again, other):
        task.modules["model"].load_state_dict(one.modules["model"].state_dict())
    sample = one.samples().predict[0]
    same = [task.predict(sample).whole() for task in (one, again, other)]
    assert np.array_equal(same[0], same[1]) and not np.allclose(same[0], same[2])
    assert not np.allclose(one.predict(replace(sample, id="another")).whole(), same[0])


# ---- judging


def test_the_input_is_judged_interpolated(tmp_path):
    channels = {"input": 2, "target": 2, "other": 2}
    catalogue = fields(tmp_path, count=3, space=(8, 8), scale=2, channels=channels)
    task = task_of(catalogue, 2)
    sample = task.samples().predict[0]
    truth = task.fields.whole(sample, "target")
    rows = {row[0]: row[4] for row in task.evaluate(truth, sample) if row[2] == "mse"}
    plain = refined(task.fields.whole(sample, "input"), 2, [True, True])
    assert list(rows) == ["emulator", "input", "other"] and rows["emulator"] == 0
    assert rows["input"] == pytest.approx(np.mean((plain - truth) ** 2), rel=1e-5)


def test_losses_are_told_of_the_fine_grid(tmp_path):
    kinds = {"target": "displacement", "input": "displacement"}
    catalogue = fields(tmp_path, count=3, space=(8, 8, 8), scale=2, quantities=kinds, box_size=16.0)
    task = task_of(catalogue, 2, crops={"size": 4}, loss=["gradient"])
    assert task.place[1] == (1.0, 1.0, 1.0) and task._target().space == (8, 8, 8)
    task.step(task.collate([task.item(task.samples().fit[0], None)]))


# ---- doors


@pytest.mark.parametrize(
    ("scale", "crops", "model", "problem"),
    [
        (2, {}, {"name": "vnet", "width": 2, "depth": 1}, "crops.scale_factor: 1, .* its target .16, 16."),
        (1, {}, generator(2), "crops.scale_factor: 2, as the model makes it, but the input of sample '0' has edges"),
        (2, {"scale_factor": 4}, generator(2), "crops.scale_factor: 4, but the model makes 2 voxels .* expected 2"),
        (4, {}, generator(2), "crops.scale_factor: 2, as the model makes it, but .* .8, 8., its target .32, 32.$"),
    ],
)
def test_models_that_make_another_grid_are_refused(tmp_path, scale, crops, model, problem):
    catalogue = fields(tmp_path, count=3, space=(8, 8), scale=scale)
    with pytest.raises(ConfigError, match=problem):
        study(catalogue, experiment(crops={"size": 4} | crops, model=model))


def test_the_index_remembers_the_factor(tmp_path):
    catalogue = fields(tmp_path, count=3, space=(8, 8), scale=4)
    geometry = geometry_of("stylegan2_generator", {"scale": 4})
    crops = Crops(index(catalogue, 2, None, geometry, scale_factor=4))
    assert (crops.scale, crops.halo, crops.size) == (4, (3, 3), (2, 2))
