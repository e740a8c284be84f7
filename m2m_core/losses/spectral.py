"""Loss of power spectra."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..options import Annotated, Field
from ..physics.grid import wave_vectors
from ..physics.spectra import taper
from ..registry import register
from .frame import Frame
from .pairs import pair
from .sums import binned
from .target import TIES, shells

__all__ = ["spectral"]


@register("loss", "spectral")
def spectral(
    prediction: Tensor,
    target: Tensor,
    frame: Frame,
    *,
    k_min: Annotated[float, Field(ge=0, le=1.0e15)] = 0.0,
    slope: Annotated[float, Field(ge=-10, le=10)] = 0.0,
) -> Tensor:
    """Mean of w(k) (log P_prediction(k) - log P_target(k))^2 over shells, of each channel of each example.

    Shells are as wide as the fundamental frequency of the longest axis, from the first to the Nyquist frequency of
    every axis, as `physics.spectra` has them; w = (k / k_0)^slope, its mean over the shells being 1. Crops that are no
    whole periodic boxes lose their mean and are tapered by a Hann window on each axis that does not go on.

    Options:
        k_min: least wave number of a shell's lower edge [h/Mpc]
        slope: of the weight w in log k
    """
    prediction, target = pair(prediction, target)
    *modes, weight = _shells(tuple(target.shape[2:]), tuple(frame.cell), k_min, slope, target.device)
    ours, truth = (_power(field, *modes, frame.around).log() for field in (prediction, target))
    return ((ours - truth).square() * weight.to(target.dtype)).mean()


def _power(field: Tensor, index: Tensor, twice: Tensor, count: int, around: tuple[bool, ...]) -> Tensor:
    """Sums of |d_k|^2 over the modes of each shell, (B C, shells)."""
    field = field.flatten(0, 1)
    axes = tuple(range(1, field.ndim))
    if not all(around):
        window = _window(tuple(field.shape[1:]), around, field.dtype, field.device)
        field = (field - field.mean(axes, keepdim=True)) * window
    modes = torch.view_as_real(torch.fft.rfftn(field, dim=axes)).square().sum(-1).flatten(1)
    sums = binned(modes * twice, index, count + 1)[:, :count]
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)


@lru_cache(maxsize=2)
def _window(space: tuple[int, ...], around: tuple[bool, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(taper(space, around)).to(device, kind)


@lru_cache(maxsize=2)
def _shells(
    space: tuple[int, ...], cell: tuple[float, ...], k_min: float, slope: float, device: torch.device
) -> tuple[Tensor, Tensor, int, Tensor]:
    """Of each mode of a real FFT its shell, the last one being beyond, and how often it counts; their number; w."""
    width, first, last = shells(space, cell, k_min)
    box = tuple(n * edge for n, edge in zip(space, cell, strict=True))
    k = np.sqrt(sum(wave**2 for wave in wave_vectors(space, box)) * (1.0 + TIES)) / width
    index = np.floor(k).astype(np.int64) - first
    index[(index < 0) | (index >= last - first)] = last - first
    twice = np.full(k.shape, 2, np.int8)
    twice[..., 0] = 1
    if space[-1] % 2 == 0:
        twice[..., -1] = 1
    weight = (np.arange(first, last) + 0.5) ** slope
    tensors = [torch.from_numpy(values.ravel()).to(device) for values in (index, twice, weight / weight.mean())]
    return tensors[0], tensors[1], last - first, tensors[2]
