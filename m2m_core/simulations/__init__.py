"""Simulators: one file each, (sample number, options) -> fields. Here is what all return, and how it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from .. import registry
from ..files import replaced

__all__ = ["Simulated", "SimulatedField", "simulate", "write"]


class SimulatedField(NamedTuple):
    """One field of a simulated sample."""

    values: np.ndarray  # float32 (C, *space)
    quantity: str  # how channels transform: "scalar", "vector" or "displacement"
    unit: str  # "Mpc/h", "km/s", "1"


@dataclass(frozen=True, eq=False)
class Simulated:
    """One sample: its fields by name ("input", "target", baselines such as "2lpt") and what they are fields of.

    `attributes` hold at least box_size (float64, one per axis [Mpc/h]), redshift, omega_m, periodic and source.
    """

    fields: dict[str, SimulatedField]
    attributes: dict[str, Any] = field(default_factory=dict)


def write(path: str | Path, simulated: Simulated) -> None:
    """Publish a sample as one HDF5 file of contiguous datasets, whole or not at all; equal samples give equal bytes.

    The last thing written is the file's attribute `complete`. Raises RunError when the disk does not take it.
    """
    with replaced(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        for name, (values, quantity, unit) in simulated.fields.items():
            dataset = file.create_dataset(name, data=np.ascontiguousarray(values, dtype=np.float32))
            dataset.attrs.update(quantity=quantity, unit=unit)
        file.attrs.update(simulated.attributes)
        file.attrs["complete"] = 1


def simulate(source: Mapping[str, Any], sample: int, path: str | Path) -> None:
    """Make one sample of a `source` section of the config and write it to `path`."""
    options = {key: value for key, value in source.items() if key != "kind"}
    write(path, registry.load("simulation", source["kind"])(sample, **options))
