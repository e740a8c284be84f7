"""Named types of the options that a config may hold: kind and range in one word, checked strictly.

A class or function that the config can name declares its options as keyword-only arguments annotated with these types
(or `bool`, `str`, `Literal[...]`, `list[...]`, `X | None`, `Annotated[int, Field(ge=4, le=4096)]`), and describes each
on a line `name: text [unit]` under `Options:` in its docstring.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Annotated", "Count", "Field", "Fraction", "Groups", "Index", "Literal", "Name", "Number", "Positive",
    "Probability", "Seed",
]  # fmt: skip

LIMIT = 1.0e15  # beyond it nothing is meant; large enough for masses and wave numbers in any unit
MANY = 10**9
NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Count = Annotated[int, Field(ge=1, le=MANY)]  # how many of something, at least one
Index = Annotated[int, Field(ge=0, le=MANY)]  # how many of something, or which, from zero
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(ge=-LIMIT, le=LIMIT)]
Positive = Annotated[float, Field(gt=0, le=LIMIT)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=NAME)]


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression ({error}); expected one, such as 'style|bias'") from None
    return value


class Group(BaseModel):
    """What some parameters have of their own in an optimizer."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    match: Annotated[str, Field(min_length=1), AfterValidator(_expression)]
    lr: Positive | None = None
    weight_decay: Probability | None = None


Groups = Annotated[list[Group], Field(min_length=1, max_length=100)]
