"""The keys of weights: those that a training begins with, and the average of those that it comes to."""

from typing import Annotated, Any

from pydantic import Field

from .normal import Section

__all__ = ["InitialWeights", "LastEpochs", "of_path"]


class LastEpochs(Section):
    """The mean of the weights after each of the last epochs, with statistics of batch normalisation of its own."""

    last: Annotated[int, Field(ge=2, le=100)] = Field(
        description="how many epochs, each kept in the checkpoints [epochs]; at a validation, of those up to then"
    )


class InitialWeights(Section):
    """A file of weights to begin with; nothing in it is executed, and another file under its name trains anew."""

    path: Annotated[str, Field(min_length=1)] = Field(
        description="`state_*.pt` of map2map, a state dict, or `model.safetensors` of a training; a path from here"
    )
    strict: bool = Field(True, description="whether it must hold all weights of the network and no others")


def of_path(value: Any) -> Any:
    """A path alone as the section that it stands for."""
    return InitialWeights(path=value) if isinstance(value, str) else value
