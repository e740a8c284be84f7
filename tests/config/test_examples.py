"""Examples that are slices or whole samples, and the words of cubes, at the door."""

import pytest

from m2m_core import config, door
from m2m_core.config.slices import Slices
from m2m_core.errors import ConfigError

GRAVITY = {"kind": "gravity", "samples": 12, "mesh": 32}
CUBES = {"kind": "cubes", "input": "a.h5", "dataset": "{theory}_seed{seed}", "labels": {"gr": {"theory": "gr"}}}
TASK = {"name": "field_to_label", "labels": ["gr"]}


def checked(source=GRAVITY, crops=None, **training):
    experiment = {"dataset": "d", "task": TASK, "crops": crops or {"kind": "slices"}, "model": "racoon"}
    raw = {"datasets": {"d": {"source": source}}, "experiments": {"e": {**experiment, "training": training}}}
    return door.check(config.parse(raw)).experiments["e"].crops


def test_defaults_are_all_thin_slices_of_all_axes():
    assert checked() == Slices(kind="slices", axes=[0, 1, 2], thickness=1, step=None)
    assert checked(CUBES, {"kind": "slices", "axes": [2], "thickness": 4, "step": 1}).step == 1


@pytest.mark.parametrize("crops, words", [
    ({"kind": "slices", "axis": [0]}, "crops.axis: this section has no such key; did you mean 'axes'?"),
    ({"kind": "slice"}, "crops.kind: got 'slice'; expected 'slices' or 'whole'; did you mean 'slices'?"),
    ({"kind": "slices", "size": 8}, "crops.size: this section has no such key; known: axes, "),
    ({"kind": "slices", "axes": [0, 0]}, "crops: axes are [0, 0]; expected each once"),
    ({"kind": "slices", "axes": [3]}, "crops.axes[0]: got 3; expected an integer from 0 to 2"),
    ({"kind": "whole", "thickness": 2}, "crops: kind is whole, which has no axes, thickness or step"),
    ({"kind": "slices", "thickness": 5}, "crops.step: every 5 slices, of thickness 5, 32 voxels are not divided"),
    ({"kind": "slices", "thickness": 33}, "crops.thickness: 33, of 32 voxels; expected at most so many"),
])  # fmt: skip
def test_examples_that_cannot_be_are_refused(crops, words):
    with pytest.raises(ConfigError) as caught:
        checked(crops=crops)
    assert f"experiments.e.{words}" in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1, 2, 4, None])
def test_processes_that_read_keep_to_samples_of_their_own(workers):
    assert checked(CUBES, workers=workers, neighbourhood=1.0)
    with pytest.raises(ConfigError, match="experiments.e.training.workers: 3, with .*; expected 0, 1, 2 or 4"):
        checked(CUBES, workers=3, neighbourhood=1.0)
    assert checked(CUBES, workers=3)


def test_words_are_looked_up_before_any_file():
    labels = {"gr": {"theery": "gr"}}
    with pytest.raises(ConfigError, match=r"datasets.d.source.labels.gr: no \{theery\}.*did you mean 'theory'"):
        checked({**CUBES, "labels": labels})
