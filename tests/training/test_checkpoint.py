"""Checkpoints: whole, checked, harmless, and of the training they claim to be of."""

import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from m2m_core.errors import RunError
from m2m_core.training.checkpoint import nonfinite, restore, save
from tests.training.toys import Toy, train

STATE = {"identity": "a", "modules": {"net": OrderedDict(w=torch.arange(6.0), n=torch.tensor(3))}, "step": 7}
torch.set_num_threads(1)


def made(folder, **changes):
    save(folder / "last.pt", STATE | changes)
    return folder / "last.pt"


def test_what_is_saved_comes_back(tmp_path):
    extra = {"list": [1, 2.5, None, True, "x"], "pair": (torch.ones(2), {"deep": [torch.zeros(0)]}), "keys": {3: "x"}}
    back = restore(made(tmp_path, **extra), "a")
    assert back["list"] == extra["list"] and back["keys"] == {3: "x"} and type(back["pair"]) is tuple
    assert torch.equal(back["modules"]["net"]["w"], STATE["modules"]["net"]["w"])


def test_there_is_none(tmp_path):
    assert restore(tmp_path / "last.pt", "a") is None


@pytest.mark.parametrize(
    "value, where",
    [
        (np.float64(1.0), "state.x is a float64"),
        ([{"y": Path("z")}], r"state.x\[0\].y is a"),
        (np.ones(2), "state.x is a ndarray"),
        (defaultdict(int), "state.x is a defaultdict"),
        ({np.int64(1): 2}, "a key of state.x is a int64"),
        ({1, 2}, "state.x is a set"),
    ],
)
def test_what_could_not_be_loaded_safely_is_not_saved(tmp_path, value, where):
    with pytest.raises(RunError, match=where):
        made(tmp_path, x=value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_torn_checkpoint_is_named(tmp_path, keep):
    path = made(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(RunError, match=r"last.pt: not a readable checkpoint \(.+\); delete it to train anew") as error:
        restore(path, "a")
    assert "\n" not in str(error.value)


def test_every_flipped_byte_is_found_or_harmless(tmp_path):
    path = made(tmp_path)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            back = restore(path, "a")
        except RunError as error:
            assert "last.pt" in str(error)
        else:
            assert torch.equal(back["modules"]["net"]["w"], STATE["modules"]["net"]["w"]), place
            assert back["step"] == 7


def test_a_flipped_weight_loads_silently_elsewhere_but_not_here(tmp_path):
    path = made(tmp_path)
    data = path.read_bytes()
    place = data.index(np.arange(6, dtype="f4").tobytes()) + 21
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert not torch.equal(torch.load(path)["modules"]["net"]["w"], STATE["modules"]["net"]["w"])
    with pytest.raises(RunError, match="checksum"):
        restore(path, "a")


def test_of_another_training(tmp_path):
    with pytest.raises(RunError, match="belongs to training a, not to b"):
        restore(made(tmp_path), "b")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(RunError, match="belongs to training list"):
        restore(tmp_path / "list.pt", "a")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_of_weights_that_are_not_finite(tmp_path, bad):
    states = {"net": {"n": torch.tensor(1), "w": torch.tensor([1.0, bad])}}
    assert nonfinite(states) == "net.w" and nonfinite({"net": {"w": torch.ones(2)}}) is None and nonfinite({}) is None
    with pytest.raises(RunError, match="last.pt: net.w is not finite"):
        restore(made(tmp_path, modules=states), "a")


class Payload:
    def __reduce__(self):
        return os.system, (f"touch {Payload.mark}",)


def test_a_malicious_checkpoint_runs_nothing(tmp_path):
    Payload.mark = tmp_path / "PWNED"
    path = tmp_path / "last.pt"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(RunError, match="last.pt"):
        restore(path, "a")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(), 2))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(RunError, match="last.pt"):
        restore(path, "a")
    assert not Payload.mark.exists()


def test_of_another_model(tmp_path):
    train(tmp_path, epochs=1)
    other = Toy(module=torch.nn.Linear(3, 1))
    with pytest.raises(RunError, match="last.pt: does not fit this model: .*Linear"):
        train(tmp_path, other, epochs=2)


def test_what_a_training_saves_is_plain(tmp_path):
    train(tmp_path, Toy(validate=2), validation={"fraction": 0.1, "every": 1, "patience": 3}, ema=0.9)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["environment"].keys() == {"device", "torch", "numpy", "threads", "processes"}
    assert state["step"] == 12 and state["best"]["weights"] and state["average"]
