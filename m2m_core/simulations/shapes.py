"""Which options of a simulation have a meaning, and how large its fields are: arithmetic, without running it.

Beside each simulation stands a function of its name with those of its options that decide this, in narrower types.
"""

from ..errors import ConfigError
from ..options import Annotated, Field, Fraction, Positive
from ..registry import register
from ._meshes import divide

__all__ = ["gravity", "nbody"]


@register("shape", "nbody")
def nbody(
    *,
    samples: Annotated[int, Field(ge=1, le=1_000_000)] = 12,
    mesh: Annotated[int, Field(ge=4, le=4096)] = 32,
    steps: Annotated[int, Field(ge=1, le=10_000)] = 8,
    box_size: Annotated[float, Field(gt=0, le=1.0e6)] = 100.0,
    redshift: Annotated[float, Field(ge=0, le=1000)] = 0.0,
    omega_m: Fraction = 0.3175,
    omega_b: Fraction = 0.049,
    h: Annotated[float, Field(gt=0, le=10)] = 0.6711,
    n_s: Annotated[float, Field(ge=-10, le=10)] = 0.9624,
    sigma_8: Positive = 0.834,
    coarsen: Annotated[int, Field(ge=1, le=1024)] = 1,
) -> dict[str, tuple[int, ...]]:
    """Edges of input and target [voxels]; raises ConfigError for more baryons than matter, or for too few cells."""
    if omega_b >= omega_m:
        raise ConfigError(f"omega_b: {omega_b}; expected less than omega_m, which is {omega_m}")
    return {"input": (divide(mesh, coarsen, "coarsen"),) * 3, "target": (mesh,) * 3}


@register("shape", "gravity")
def gravity(
    *,
    samples: Annotated[int, Field(ge=2, le=1_000_000)] = 24,
    mesh: Annotated[int, Field(ge=4, le=4096)] = 32,
    box_size: Annotated[float, Field(gt=0, le=1.0e6)] = 640.0,
    redshift: Annotated[list[Annotated[float, Field(ge=0, le=1000)]], Field(min_length=1)]
    | Annotated[float, Field(ge=0, le=1000)] = 1.0,
    strength: Annotated[float, Field(gt=-1, le=1000)] = 0.3,
    omega_m: Annotated[list[Fraction], Field(min_length=2, max_length=2)] | Fraction = 0.3175,
    sigma_8: Annotated[list[Positive], Field(min_length=2, max_length=2)] | Positive = 0.834,
) -> dict[str, tuple[int, ...]]:
    """Edges of the field [voxels]; raises ConfigError on half a pair, and on bounds in the wrong order."""
    if samples % 2:
        raise ConfigError(f"samples: {samples}; expected an even number: two of each seed")
    for name, value in (("omega_m", omega_m), ("sigma_8", sigma_8)):
        if isinstance(value, list) and value[0] >= value[1]:
            raise ConfigError(f"{name}: from {value[0]} to {value[1]}; expected the lower bound first")
    return {"input": (mesh,) * 3}
