"""One file of somebody's own with code of every kind, outside the repository: it runs, and its edits are noticed."""

import csv
import json

import numpy as np
import pytest

pytestmark = pytest.mark.workflow

MINE = '''
"""Everything of somebody's own."""
import numpy as np
from m2m_core.options import Positive
from m2m_core.registry import register

@register("reader", "grid")
class Grid:
    """A text file of one 2-D grid."""
    suffixes = (".grid",)

    @staticmethod
    def headers(path, datasets):
        from m2m_core.data.readers import Header, file_size
        return [Header((1, *np.loadtxt(path).shape), "<f8", None, file_size(path))] * len(datasets)

    @staticmethod
    def attributes(path, datasets):
        return [{} for _ in datasets]

    @staticmethod
    def open(path, dataset=""):
        return np.loadtxt(path)[None]

@register("transform", "asinh")
class Asinh:
    """asinh(x)."""
    domain = "any number"
    outside = staticmethod(lambda x: np.zeros((), bool))
    forward = staticmethod(lambda x: np.arcsinh(x, out=x))
    inverse = staticmethod(lambda x: np.sinh(x, out=x))

@register("scaling", "spread")
class Spread:
    """x / spread."""
    def __init__(self, statistics, *, spread: Positive = 1.0):
        self.spread = spread
    def constants(self, sample):
        return np.zeros(1, "f4"), np.full(1, self.spread, "f4")

@register("geometry", "scale")
def geometry():
    """No neighbours."""
    from m2m_core.models import Geometry
    return Geometry(halo=0, factor=1, padding="zero")

@register("model", "scale")
def scale(in_channels, out_channels, dims):
    """A number a channel."""
    from torch import nn
    return getattr(nn, f"Conv{dims}d")(in_channels, out_channels, 1)

@register("loss", "quartic")
def quartic(prediction, target):
    """Fourth power."""
    return (prediction - target).pow(4).mean()

@register("metric", "worst")
def worst(comparison):
    """Largest error."""
    yield "worst", None, float(np.abs(np.asarray(comparison.prediction) - np.asarray(comparison.truth)).max())

@register("optimizer", "plain")
def plain(parameters, *, lr: Positive = 1.0e-3):
    """Steps down the gradient."""
    import torch
    return torch.optim.SGD([parameter for _, parameter in parameters], lr=lr)

@register("schedule", "halves")
class Halves:
    """1, 1/2, 1/4, ..."""
    watches = False
    def __init__(self, steps):
        pass
    def factor(self, step):
        return 0.5**step
    def observe(self, score):
        pass
    def state(self):
        return {}
    def restore(self, state):
        pass

@register("task", "counted")
class Counted:
    """Field to field that records how many of its batches were even."""
    def __init__(self, study):
        from m2m_core.tasks.field_to_field import FieldToField
        self.inner = FieldToField(study)
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def step(self, batch):
        scalars = self.inner.step(batch)
        return {**scalars, "mine": scalars["loss"] * 0 + len(batch[0])}
'''


def test_code_of_every_kind_from_a_file_of_ones_own(project, tmp_path):
    plugin, data = tmp_path / "else where" / "mine.py", project.folder / "data"
    plugin.parent.mkdir()
    plugin.write_text(MINE)
    data.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        field = rng.normal(size=(8, 8))
        np.savetxt(data / f"in_{i}.grid", field)
        np.savetxt(data / f"out_{i}.grid", 2 * field)
    source = {"kind": "npy", "input": "data/in_*.grid", "target": "data/out_*.grid"}
    side = {"transform": "asinh", "scaling": {"name": "spread", "spread": 2.0}}
    project.config["datasets"]["boxes"] |= {"source": source, "folds": {"count": 2, "run": [0]}}
    project.config["plugins"] = [str(plugin)]
    project.config["experiments"] = {
        "mine": {
            "dataset": "boxes", "task": "counted", "normalize": {"input": side, "target": side}, "crops": {"size": 8},
            "model": "scale", "loss": "quartic", "optimizer": "plain", "schedule": "halves", "evaluation": ["worst"],
            "training": {"epochs": 3, "batch_size": 1, "threads": 1, "validation": None},
        }
    }  # fmt: skip
    project.save()
    project.run("--until", "evaluation")
    folder = project.path("experiments/mine/fold-0")
    with open(folder / "history.csv", newline="") as stream:
        history = list(csv.DictReader(stream))
    assert {float(row["mine"]) for row in history} == {1.0}
    np.testing.assert_allclose([float(row["lr"]) for row in history], 1e-3 * 0.5 ** np.arange(1.0, 6.0, 2.0))
    with open(folder / "evaluation.csv", newline="") as stream:
        assert {row["metric"] for row in csv.DictReader(stream)} == {"worst"}
    assert "loss" in json.loads((folder / "training.json").read_text())["settings"]

    plugin.write_text(MINE.replace("Fourth power", "The fourth power"))
    assert not {"catalogue", "training", "evaluation"} & set(project.stale("--until", "evaluation"))
    plugin.write_text(MINE.replace(".pow(4)", ".pow(6)"))
    assert {"training", "inference", "evaluation"} <= set(project.stale("--until", "evaluation"))
