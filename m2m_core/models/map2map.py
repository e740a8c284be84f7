"""The names that map2map gives to the weights of its networks, and those that the same weights have here."""

import re
from collections.abc import Iterable

__all__ = ["names"]

LEVELS = [  # of UNet, VNet, StyledVNet and nbody.StyledVNet
    (r"conv_l(\d)(\d)\.", r"encode.\1.\2."),
    (r"conv_l(\d)\.", r"encode.\1."),
    (r"conv_r(\d)(\d)\.", r"decode.\1.\2."),
    (r"conv_r(\d)\.", r"decode.\1."),
    (r"conv_c\.", "centre."),
    (r"down_l(\d)\.convs\.", r"down.\1."),
    (r"up_r(\d)\.convs\.", r"up.\1."),
]
GENERATOR = [
    (r"block0\.", "first."),
    (r"(blocks\.\d+)\.conv\.0\.std", r"\1.before"),
    (r"(blocks\.\d+)\.conv\.4\.std", r"\1.between"),
    (r"(blocks\.\d+)\.conv\.2\.", r"\1.first."),
    (r"(blocks\.\d+)\.conv\.5\.", r"\1.second."),
    (r"(blocks\.\d+)\.proj\.0\.", r"\1.project."),
]
DISCRIMINATOR = [(r"block0\.", "first."), (r"(blocks\.\d+)\.conv\.", r"\1.convs."), (r"block9\.", "last.")]
PATCHES = [(r"convs\.(\d)\.convs\.(\d)\.", r"convs.\1.\2.")]
PATCHES42 = [
    (rf"convs\.{flat}\.", f"convs.{row}.{place}.")
    for flat, row, place in [(0, 0, 0), (2, 1, 0), (3, 1, 1), (5, 2, 0), (6, 2, 1), (8, 3, 0)]
]
PARALLEL = "module."  # before every name, where torch's wrapper of several processes was saved


def names(keys: Iterable[str]) -> dict[str, str]:
    """Each of the `keys` of a state -> the name that its weights have here; other layouts than map2map's stay."""
    keys = list(keys)
    bare = {key: key.removeprefix(PARALLEL) if all(k.startswith(PARALLEL) for k in keys) else key for key in keys}
    rules = _rules(set(bare.values()))
    return {key: _renamed(name, rules) for key, name in bare.items()}


def _rules(keys: set[str]) -> list[tuple[str, str]]:
    def has(pattern: str) -> bool:
        return any(re.match(pattern, key) for key in keys)

    if has(r"conv_c\."):  # blocks without a path around them are their layers
        return LEVELS if has(r"conv_c\.skip\.") else [(r"(conv_\w+)\.convs\.", r"\1."), *LEVELS]
    if has(r"blocks\.\d+\.proj\."):
        return GENERATOR
    if has(r"block9\."):
        return DISCRIMINATOR
    if has(r"convs\.\d\.convs\."):
        return PATCHES
    return PATCHES42 if has(r"convs\.8\.") and has(r"convs\.0\.(weight|bias)") else []


def _renamed(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(f"^{pattern}", replacement, name)
    return name
