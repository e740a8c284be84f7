"""Weights on disk are those that were written, for the model they are of, or named."""

import pytest
import torch
from torch import nn

from m2m_core.errors import RunError
from m2m_core.models.weights import load_weights, save_weights


def made(folder):
    """A file of weights, their modules and their digest."""
    torch.manual_seed(0)
    modules = {"a": nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)), "ab": nn.Linear(2, 1)}
    states = {name: module.state_dict() for name, module in modules.items()}
    return folder / "model.safetensors", modules, save_weights(folder / "model.safetensors", states)


def test_weights_and_buffers_come_back(tmp_path):
    path, modules, sha256 = made(tmp_path)
    others = {"a": nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)), "ab": nn.Linear(2, 1)}
    load_weights(path, others, sha256)
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, others[name].state_dict()[key])


def test_a_flipped_bit_is_found(tmp_path):
    path, modules, sha256 = made(tmp_path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(RunError, match=f"sha256 is .*, training wrote {sha256[:12]}: the file has changed"):
        load_weights(path, modules, sha256)


def test_of_another_model(tmp_path):
    path, _, sha256 = made(tmp_path)
    for modules in ({"ab": nn.Linear(3, 1)}, {"ab": nn.Linear(2, 1, bias=False)}, {"c": nn.Linear(2, 1)}):
        with pytest.raises(RunError, match="model.safetensors: not the weights of this model: .*Linear"):
            load_weights(path, modules, sha256)
