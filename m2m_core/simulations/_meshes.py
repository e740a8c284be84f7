"""Meshes that nest: how many cells a coarser one has."""

from ..errors import ConfigError

__all__ = ["divide"]

LEAST = 4  # cells of a mesh along a side


def divide(mesh: int, coarsen: int, where: str) -> int:
    """Cells along a side of a mesh that is coarser by a factor; raises ConfigError if there are none, or too few."""
    if mesh % coarsen or mesh // coarsen < LEAST:
        factors = [str(n) for n in range(1, mesh // LEAST + 1) if mesh % n == 0]
        raise ConfigError(f"{where}: {coarsen}, of a mesh of {mesh} cells; expected one of {', '.join(factors)}")
    return mesh // coarsen
