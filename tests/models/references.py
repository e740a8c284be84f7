"""map2map's networks: the layouts of their states, weights and inputs by formula, and what they made of them.

`data/map2map_states.json` has the shapes of each state, `data/map2map_outputs.npz` the outputs of map2map 4ebc835 (and
of its fork map2map_emu) for these weights and inputs, in float32 on a CPU and in evaluation mode.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

__all__ = ["NETWORKS", "field", "output", "parameters", "state", "style"]

DATA = Path(__file__).parent / "data"
LAYOUTS = json.loads((DATA / "map2map_states.json").read_text())
PUBLISHED = {"width": 64, "growth": 1, "normalization": "batch"}
NETWORKS = {  # map2map's -> (kind, name, options, channels) of ours
    "UNet": ("model", "unet", PUBLISHED, (3, 3)),
    "VNet": ("model", "vnet", PUBLISHED, (3, 3)),
    "StyledVNet": ("model", "styled_vnet", PUBLISHED, (3, 3)),
    "nbody.StyledVNet": ("model", "styled_vnet", {"width": 64, "depth": 3, "blocks": 2}, (3, 3)),
    "G": ("model", "stylegan2_generator", {"scale": 8}, (6, 6)),
    "D": ("discriminator", "stylegan2_discriminator", {"scale": 8}, (12,)),
    "PatchGAN": ("discriminator", "patchgan", {}, (3,)),
    "PatchGAN42": ("discriminator", "patchgan42", {}, (3,)),
}


def state(name: str) -> dict[str, torch.Tensor]:
    """The state dict of a network, under map2map's names; the noise of G has no strength."""
    shapes = LAYOUTS[name]["state"]
    values = {key: _weights(key, tuple(shapes[key]), i) for i, key in enumerate(sorted(shapes))}
    return {key: value * (name != "G" or not key.endswith("std")) for key, value in values.items()}


def _weights(key: str, shape: tuple[int, ...], order: int) -> torch.Tensor:
    x = 0.37 * np.arange(math.prod(shape)) + order
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith("running_var"):
        values = 1 + 0.5 * np.sin(x)
    elif len(shape) == 1 and key.endswith("weight"):
        values = 1 + 0.1 * np.sin(x)
    else:
        values = np.sin((x * x) % 7 + x) / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else 4)
    return torch.as_tensor(values.reshape(shape), dtype=torch.float32)


def field(name: str) -> torch.Tensor:
    """The input of a network."""
    shape = LAYOUTS[name]["input"]
    x = np.arange(math.prod(shape))
    return torch.as_tensor(np.sin(0.11 * x) + 0.5 * np.cos(0.031 * x), dtype=torch.float32).reshape(shape)


def style(name: str) -> torch.Tensor | None:
    """Its style, if it has one."""
    return torch.tensor(LAYOUTS[name]["style"]) if "style" in LAYOUTS[name] else None


def output(name: str) -> torch.Tensor:
    """What map2map makes of that."""
    with np.load(DATA / "map2map_outputs.npz", allow_pickle=False) as outputs:
        return torch.as_tensor(outputs[name])


def parameters(name: str) -> int:
    """How many numbers it learns."""
    return LAYOUTS[name]["parameters"]
