"""Simulators: one file each, (sample number, options) -> fields. Here is what all return, and how it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from .. import registry
from ..files import replaced
from ..provenance import fingerprint

__all__ = ["Simulated", "SimulatedField", "simulate", "simulate_missing", "write"]


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
    write(path, _made(source, sample))


def simulate_missing(settings: Mapping[str, Any], shard: str, folder: str | Path) -> list[Path]:
    """The files `folder`/<id>.h5 of the samples in `shard`, "first-end"; made are those that are not there.

    A file that is not whole, or whose attribute `settings` is not the digest of `settings` (the `source` section and
    the code), is not there: a job that was killed goes on with the next sample.
    """
    first, end = map(int, shard.split("-"))
    wanted, paths = fingerprint(settings), {number: Path(folder, f"{number:04d}.h5") for number in range(first, end)}
    for number, path in paths.items():
        if not _is_made(path, wanted):
            made = _made(settings["source"], number)
            made.attributes["settings"] = wanted
            write(path, made)
    return list(paths.values())


def _made(source: Mapping[str, Any], sample: int) -> Simulated:
    options = {key: value for key, value in source.items() if key != "kind"}
    return registry.load("simulation", source["kind"])(sample, **options)


def _is_made(path: Path, settings: str) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("settings") == settings and file.attrs.get("complete") == 1
    except (OSError, RuntimeError):
        return False
