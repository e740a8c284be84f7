"""Halos given by hand, halos of targets and half-open boxes, from the files to the loss and to the prediction."""

import numpy as np
import pytest
import torch

from m2m_core.errors import ConfigError
from m2m_core.tasks.adversary import resampled
from tests.tasks.studies import fields
from tests.tasks.test_field_to_field import IDENTITY, task_of
from tests.tasks.test_super_resolution import divided, generator

torch.set_num_threads(1)
RAW = IDENTITY | {"target": "identity"}
ZERO = {"name": "vnet", "width": 2, "depth": 1, "padding": "zero"}
VALID = ZERO | {"padding": "valid"}
KINDS = ["flip", "permute", "shift"]


def nested(folder, scale, space, **source):
    """A dataset whose target is the input, each voxel divided."""
    dims = len(space)
    catalogue = fields(folder, 3, space, {"input": dims, "target": dims}, scale, **source)
    for sample in catalogue:
        np.save(sample.parts("target")[0].file, divided(np.load(sample.parts("input")[0].file), scale))
    return catalogue


@pytest.mark.parametrize("periodic", [True, [False, True], [True, False], False], ids=str)
@pytest.mark.parametrize("scale", [1, 2])
def test_uneven_halos_stay_aligned_under_all_augmentation(tmp_path, scale, periodic):
    """Of map2map's 200 examples, 170 do not. The target lies in the input where the halos say."""
    catalogue = nested(tmp_path, scale, (18, 16), periodic=periodic)
    crops = {"size": 4, "halo": [[5, 7], [4, 6]], "target_halo": [[1, 1], [2, 0]]}
    model = ZERO if scale == 1 else generator(2)
    task = task_of(catalogue, normalize=RAW, crops=crops, model=model, training={"augment": KINDS})
    (low, _), (left, _) = task.study.crops.beyond
    examples, shapes = task.samples().fit, set()
    for number in range(200):
        source, target, *_ = task.item(examples[number % len(examples)], np.random.default_rng(number))
        inside = source[:, low - 1 : low + 5, left - 2 : left + 4]
        assert np.array_equal(divided(inside, scale), target)
        shapes.add((source.shape, target.shape))
    under = resampled(task.centred(torch.from_numpy(source)[None]), target.shape[1:], scale)  # what a critic sees
    assert scale > 1 or np.array_equal(under[0].numpy(), target)
    assert shapes == {((2, 16, 14), (2, 6 * scale, 6 * scale))}


@pytest.mark.parametrize("halo", [[[10, 8], [8, 8]], 9])
def test_more_halo_than_a_network_needs_changes_nothing(tmp_path, halo):
    """Of one that pads with nothing, as long as the voxels of its coarser levels stay where they are."""
    catalogue = fields(tmp_path, 3, (24, 26), {"input": 1, "target": 1})
    least, more = (task_of(catalogue, crops={"size": 6, "halo": h}, model=VALID) for h in (None, halo))
    margin = least.study.crops.halo[0]
    assert margin == 8
    more.modules["model"].load_state_dict(least.modules["model"].state_dict())
    outputs = []
    for task in (least, more):
        task.modules["model"].eval()
        prediction, target, _ = task.predicted(task.collate([task.item(("0", (6, 6)), None)]))
        assert prediction.shape == target.shape == (1, 1, 6, 6)
        outputs.append(prediction.detach())
    if halo == 9:  # an odd surplus: the coarser voxels lie elsewhere
        assert not torch.allclose(*outputs, atol=1e-4)
    else:
        torch.testing.assert_close(*outputs)
    sample = least.samples().predict[0]
    np.testing.assert_allclose(more.predict(sample).whole(), least.predict(sample).whole(), atol=1e-5)


def test_a_network_that_pads_with_zeros_sees_its_halo_in_prediction_as_well(tmp_path):
    catalogue = fields(tmp_path, 3, (16, 16), {"input": 1, "target": 1})
    task = task_of(catalogue, crops={"size": 8, "halo": 4}, model=ZERO)
    network, sample = task.modules["model"].eval(), task.samples().predict[0]
    found = task.predict(sample).whole()
    box = task.normal["input"].forward(task.fields.whole(sample, "input"), sample)
    for a, b in ((0, 0), (0, 8), (8, 0), (8, 8)):
        read = np.take(np.take(box, range(a - 4, a + 12), 1, mode="wrap"), range(b - 4, b + 12), 2, mode="wrap")
        with torch.no_grad():
            expected = network(torch.from_numpy(read)[None])[0, :, 4:12, 4:12].numpy()
        expected = task.normal["target"].inverse(expected, sample)
        np.testing.assert_allclose(found[:, a : a + 8, b : b + 8], expected, atol=1e-5)


def test_the_loss_is_of_the_target_with_its_halo(tmp_path):
    catalogue = fields(tmp_path, 3, (16, 16), {"input": 1, "target": 1})
    task = task_of(catalogue, crops={"size": 4, "target_halo": [1, [2, 0]]}, model=ZERO, training={"augment": []})
    batch = task.collate([task.item(("0", (4, 8)), None)])
    truth = task.normal["target"].forward(task.fields.whole(task.study.catalogue["0"], "target"), None)
    assert np.array_equal(batch[1][0].numpy(), truth[:, 3:9, 6:12])
    with torch.no_grad():
        expected = (task.modules["model"](batch[0]) - batch[1]).square().mean()
    torch.testing.assert_close(task.measure(batch)["loss"].detach(), expected)
    assert task._target().space == (6, 6)


@pytest.mark.parametrize("periodic", [[True, False], [False, True]], ids=str)
def test_half_open_boxes_are_read_and_predicted_as_what_they_are(tmp_path, periodic):
    """Whole at once, by hand: images beyond the axes that go on, zeros beyond those that end."""
    catalogue = fields(tmp_path, 3, (24, 26), {"input": 1, "target": 1}, periodic=periodic)
    task = task_of(catalogue, crops={"size": 4}, model=VALID, training={"augment": KINDS}, normalize=RAW)
    network, sample = task.modules["model"].eval(), task.samples().predict[0]
    assert task.place[2] == (False, False) and sample.around == tuple(periodic)
    box = np.load(sample.parts("input")[0].file)
    for axis, goes_on in enumerate(periodic, 1):
        width = [(8, 8) if a == axis else (0, 0) for a in range(3)]
        box = np.pad(box, width, mode="wrap" if goes_on else "constant")
    with torch.no_grad():
        expected = network(torch.from_numpy(box)[None])[0].numpy()
    np.testing.assert_allclose(task.predict(sample).whole(), expected, atol=1e-5)
    closed, ends = (periodic.index(flag) for flag in (True, False))
    shifts = [task.examples._draw(np.random.default_rng(n), sample).shift for n in range(60)]
    assert max(s[closed] for s in shifts) > (24, 26)[closed] - 4
    assert max(s[ends] for s in shifts) <= (24, 26)[ends] - 4


def test_tiles_of_half_open_boxes_with_noise_agree(tmp_path):
    catalogue = fields(tmp_path, 3, (10, 8), {"input": 1, "target": 1}, 2, periodic=[True, False])
    found = []
    for tile in ([10, 8], 3):
        task = task_of(catalogue, crops={"size": 3}, model=generator(2), inference={"tile": tile})
        torch.manual_seed(1)
        for parameter in task.modules["model"].eval().parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        found.append(task.predict(task.samples().predict[0]).whole())
    np.testing.assert_allclose(*found, atol=1e-5)


def test_a_tile_is_admitted_with_what_is_read_around_it(tmp_path):
    catalogue = fields(tmp_path, 3, (16, 16), {"input": 1, "target": 1})
    task = task_of(
        catalogue, crops={"size": 8, "halo": [[1, 2], [2, 1]]} | {"size": 7}, model=ZERO, inference={"tile": 8}
    )
    with pytest.raises(ConfigError, match="inference.tile: 11; the model takes multiples of 2"):
        task.predict(task.samples().predict[0]).whole()
