"""The keys of a normalisation, and what every section of the config is."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ..options import Name
from ..registry import STRICT
from .choices import Choice, Names

__all__ = ["Chosen", "Normal", "Normalize", "Section"]

Chosen = str | dict[str, Any]
Scaling = Annotated[str, Names("scaling", "transform")]
Transform = Annotated[str, Names("transform")]


class Section(BaseModel):
    """A closed, frozen, strictly typed part of the config."""

    model_config = STRICT


class Normal(Section):
    """How a field is made dimensionless: a pointwise transform, then a scaling of each channel."""

    transform: Transform | Annotated[list[Transform], Field(min_length=1, max_length=9)] = Field(
        "identity", description="pointwise, with an exact inverse; or several, applied in order"
    )
    scaling: Annotated[Chosen, Choice("scaling")] = Field("identity", description="shift and spread of each channel")


Whole = Scaling | Normal
Parts = Annotated[
    dict[Name, Whole], Field(min_length=1, json_schema_extra={"x-words": "names of parts, each to one of these"})
]


class Normalize(Section):
    """The normalisation of input and target: a scaling or transform, or one of each; or that of each part by name."""

    input: Whole | Parts = Field(
        "standardise", description="of the input field, or part -> that of the part", union_mode="left_to_right"
    )
    target: Whole | Parts = Field(
        "standardise", description="of the target field, or part -> that of the part", union_mode="left_to_right"
    )

    def normals(self, side: str) -> dict[str, Any]:
        """Part -> its normalisation (a Normal once the config is read); "" -> that of an undivided field."""
        chosen = getattr(self, side)
        return chosen if isinstance(chosen, dict) else {"": chosen}

    def told(self, side: str) -> tuple[str, str]:
        """(transform, scaling) in a word each, "identity" where no part has any other; once the config is read."""
        parts = self.normals(side).values()
        chains = [[p.transform] if isinstance(p.transform, str) else p.transform for p in parts]
        scalings = [p.scaling if isinstance(p.scaling, str) else p.scaling["name"] for p in parts]
        kinds = [name for names in chains for name in names], scalings
        first, second = (", ".join(dict.fromkeys(n for n in names if n != "identity")) or "identity" for names in kinds)
        return first, second
