"""One prediction beside its truth: what every metric is given, with the Fourier transforms shared between them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import DataError
from ..physics import spectra as estimate
from ..physics.assignment import density

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """`prediction` and `truth`, (C, *space), in a box of `box_size` [Mpc/h] per axis.

    `field` says what they are: "displacement" [Mpc/h], "density" (overdensity, C = 1), or any other name.
    `around` says along which axes the box goes on, all unless given. `displacements` are what densities were painted
    from; spectra are then interlaced and free of the window.
    Raises DataError when the shapes differ, or a value is not finite.
    """

    prediction: np.ndarray
    truth: np.ndarray
    box_size: tuple[float, ...]
    field: str
    around: tuple[bool, ...] | None = None
    displacements: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.prediction.shape != self.truth.shape or self.truth.ndim != len(self.box_size) + 1:
            raise DataError(
                f"{self.field}: prediction has shape {self.prediction.shape}, truth {self.truth.shape}, "
                f"box {len(self.box_size)} axes; expected one shape (channels, *space)"
            )
        for name in ("prediction", "truth"):
            _refuse_nonfinite(f"{self.field}: {name}", getattr(self, name))

    @classmethod
    def of_displacement(
        cls, prediction: np.ndarray, truth: np.ndarray, box_size: tuple[float, ...], field: str = "density"
    ) -> "Comparison":
        """Compare the cloud-in-cell densities to which two displacements (d, *space) [Mpc/h] move a lattice."""
        pair = (prediction, truth)
        for name, displacement in zip(("prediction", "truth"), pair, strict=True):
            _refuse_nonfinite(f"density: {name}", displacement)
        painted = (density(displacement, box_size)[None] for displacement in pair)
        return cls(*painted, box_size, field, displacements=pair)

    @property
    def periodic(self) -> bool:
        """Whether the box goes on along all axes."""
        return self.around is None or all(self.around)

    @property
    def is_density(self) -> bool:
        """Whether the values are overdensities, never below -1."""
        return self.field == "density" or self.displacements is not None

    @cached_property
    def spectra(self) -> estimate.Spectra:
        """Spectra with a = prediction, b = truth; tapered along axes on which the box does not go on."""
        if self.displacements is not None:
            return estimate.density_spectra(*self.displacements, self.box_size)
        pair = self.prediction, self.truth
        if self.around is None or self.periodic:
            return estimate.spectra(*pair, self.box_size)
        return estimate.tapered_spectra(*pair, self.box_size, self.around)


def _refuse_nonfinite(where: str, values: np.ndarray) -> None:
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise DataError(f"{where}: {bad} of {values.size} values are NaN or infinite; expected finite numbers")
