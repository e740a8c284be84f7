"""Groups of parameters, found by their names, that an optimizer treats in their own way."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import ConfigError

__all__ = ["Named", "grouped"]

Named = Iterable[tuple[str, nn.Parameter]]


def grouped(named: Named, groups: Sequence[Mapping[str, Any]] | None) -> list[Any]:
    """The parameters, or {"params", "lr", "weight_decay"} of each group and of the rest, which has the defaults.

    A parameter belongs to the first group whose `match` is found in its name. Raises ConfigError when a group is left
    without any, with the names that there are.
    """
    named = list(named)
    if not groups:
        return [parameter for _, parameter in named]
    found: list[list[nn.Parameter]] = [[] for _ in (*groups, None)]
    for name, parameter in named:
        places = (i for i, group in enumerate(groups) if re.search(group["match"], name))
        found[next(places, -1)].append(parameter)
    if (empty := next((i for i, members in enumerate(found[:-1]) if not members), None)) is not None:
        some = ", ".join(name for name, _ in named[:4])
        text = f"{groups[empty]['match']!r} matches no parameter that no group before it has"
        raise ConfigError(f"optimizer.groups[{empty}].match: {text}; names are like {some}")
    own = [{key: v for key, v in group.items() if key != "match" and v is not None} for group in groups]
    return [{"params": p, **options} for p, options in zip(found, [*own, {}], strict=True) if p]
