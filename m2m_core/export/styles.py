"""What a styled network is told, once more as a torch module, so that it can be part of an exported program."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..data import styles
from .normalize import Linear

__all__ = ["Styles"]


class Styles(nn.Module):
    """The twin of `data.styles.Styles`, its shifts and spreads in the file.

    parameters: names of the numbers that samples have of their own; the other styles follow from redshift and omega_m
    """

    def __init__(self, of_house: styles.Styles, parameters: Collection[str]) -> None:
        super().__init__()
        self.names, self.own = of_house.names, [name for name in of_house.names if name in parameters]
        self.linear = Linear()
        for name in ("shift", "spread"):
            self.register_buffer(name, torch.tensor(getattr(of_house, name), dtype=torch.float64))

    def forward(self, redshift: Tensor, omega_m: Tensor, numbers: Tensor | None = None) -> Tensor:
        """0-dimensional float64, and (own,) float64 if there are any -> (1, styles) float32."""
        known = {"redshift": redshift, "omega_m": omega_m}
        if numbers is not None:
            known |= dict(zip(self.own, numbers.unbind(), strict=True))
        if "growth" in self.names:
            known.setdefault("growth", self.linear.growth(redshift, omega_m))
        return ((torch.stack([known[name] for name in self.names]) - self.shift) / self.spread).float()[None]
