"""The keys of examples that are slices or whole samples, and how they are told from crops."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..options import Count
from .normal import Section

__all__ = ["AnyOf", "Slices", "kind_of_examples"]


class Slices(Section):
    """Examples of a network that tells labels: slices of cubes along their axes, or whole cubes and maps."""

    kind: Literal["slices", "whole"] = Field(description="slices of cubes, or whole samples")
    axes: Annotated[list[Annotated[int, Field(ge=0, le=2)]], Field(min_length=1, max_length=3)] = Field(
        [0, 1, 2], description="axes that the slices stand on"
    )
    thickness: Count = Field(1, description="slices that are the channels of one example, side by side [voxels]")
    step: Count | None = Field(None, description="distance between first slices [voxels]; the thickness unless given")

    @model_validator(mode="after")
    def _agree(self) -> "Slices":
        if len(set(self.axes)) < len(self.axes):
            raise ValueError(f"axes are {self.axes}; expected each once")
        if self.kind == "whole" and (self.axes, self.thickness, self.step) != ([0, 1, 2], 1, None):
            raise ValueError("kind is whole, which has no axes, thickness or step; expected kind alone")
        return self


class AnyOf:
    """Tells the schema of alternatives that are told apart by code as that of any others."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict:
        return {"anyOf": handler(core)["oneOf"]}


def kind_of_examples(value: Any) -> str:
    """What a section means: "slices" or "crops"."""
    is_slices = "kind" in value if isinstance(value, dict) else isinstance(value, Slices)
    return "slices" if is_slices else "crops"
