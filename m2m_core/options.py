"""Named types of the options that a config may hold: kind and range in one word, checked strictly.

A class or function that the config can name declares its options as keyword-only arguments annotated with these types
(or `bool`, `str`, `Literal[...]`, `list[...]`, `X | None`, `Annotated[int, Field(ge=4, le=4096)]`), and describes each
on a line `name: text [unit]` under `Options:` in its docstring. An option may itself name code with options of its own.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Annotated", "Count", "Criterion", "Decay", "Discriminator", "Field", "Fraction", "Groups", "Index", "Literal",
    "Name", "Number", "Optimizer", "Positive", "Probability", "Redshift", "Schedule", "Seed", "Weight",
]  # fmt: skip

LIMIT = 1.0e15  # beyond it nothing is meant; large enough for masses and wave numbers in any unit
MANY = 10**9
NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Count = Annotated[int, Field(ge=1, le=MANY)]  # how many of something, at least one
Index = Annotated[int, Field(ge=0, le=MANY)]  # how many of something, or which, from zero
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(ge=-LIMIT, le=LIMIT)]
Positive = Annotated[float, Field(gt=0, le=LIMIT)]
Redshift = Annotated[float, Field(gt=-1, le=LIMIT)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a moving average
Weight = Annotated[float, Field(ge=0, le=LIMIT)]
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


class Of:
    """Marks an option that names code of a kind: `hinge`, or `{name: bce, label_smoothing: 0.1}`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict:
        return {**handler(core), "x-choice": {"kinds": [self.kind], "key": "name", "weighted": False}}


def kind_of(option: Any) -> str | None:
    """The kind of code that an option of this type names, None if it names none."""
    marks = [part for part in getattr(option, "__metadata__", ()) if isinstance(part, Of)]
    inner = [kind for part in get_args(option) if (kind := kind_of(part))]
    return next(iter([mark.kind for mark in marks] + inner), None)


Discriminator = Annotated[str | dict[str, Any], Of("discriminator")]
Criterion = Annotated[str | dict[str, Any], Of("criterion")]
Optimizer = Annotated[str | dict[str, Any], Of("optimizer")]
Schedule = Annotated[str | dict[str, Any], Of("schedule")]
