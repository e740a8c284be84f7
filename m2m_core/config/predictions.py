"""The keys of predictions: what a trained experiment is applied to, and the files that are written of it."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ..options import Count, Index, Name, Positive
from ..wording import shown
from .normal import Section

__all__ = ["ID", "PART", "Prediction", "Write"]

ID, PART = "{id}", "{part}"
SUFFIXES = {"npy": (".npy",), "hdf5": (".h5", ".hdf5")}
ENDINGS = {kind: " or ".join(suffixes) for kind, suffixes in SUFFIXES.items()}


def _below(value: str) -> str:
    """A path that stays in its folder whatever names are put into it: their first character is a letter or digit."""
    inside = value.isprintable() and not value.startswith("/") and ".." not in PurePosixPath(value).parts
    if not inside or "\\" in value or set("{}") & set(re.sub(r"\{(id|part)\}", "", value)):
        raise ValueError(f"got {shown(value)}; expected a path inside the folder of the prediction, with {ID}")
    return value


class Write(Section):
    """Files of predictions for other programs, in `predictions/<name>/files` below the results; nothing else lies
    there."""

    kind: Literal["npy", "hdf5"] = Field(
        description="an array (channels, *space) a file, or HDF5 with the datasets of the target that was learnt"
    )
    path: Annotated[str, AfterValidator(_below)] | None = Field(
        None,
        description="of each file, with {id} and {part}; {id}.npy, {id}_{part}.npy where the target has "
        "parts by name, or {id}.h5 unless given; HDF5 without {id} holds a group for each sample",
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="type of the values")

    @model_validator(mode="after")
    def _agree(self) -> "Write":
        if self.path is not None and not self.path.endswith(SUFFIXES[self.kind]):
            raise ValueError(f"path is {shown(self.path)}; expected one that ends with {ENDINGS[self.kind]}")
        if self.path is not None and self.kind == "npy" and ID not in self.path:
            raise ValueError(f"path is {shown(self.path)}; expected {ID} in it, for a file a sample")
        if self.path is not None and self.kind == "hdf5" and PART in self.path:
            raise ValueError(f"path is {shown(self.path)}; expected no {PART}: parts are datasets of one file")
        return self


def _of_kind(value: Any) -> Any:
    return Write(kind=value) if isinstance(value, str) else value


class Prediction(Section):
    """A trained experiment, applied: to inputs without targets, or to the samples that its folds hold out."""

    experiment: Name = Field(description="name of an experiment, made by an ablation or not")
    dataset: Name | None = Field(
        None, description="name of a dataset whose inputs are predicted; the experiment's own held-out samples if none"
    )
    folds: Annotated[list[Index], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="which models, by the fold that each has not seen: of several the mean; all unless given"
    )
    draws: Count | None = Field(
        None,
        description="predictions of each new sample by each model, each with noise of its own: of several the mean "
        "and the spread; `inference.draws` of the experiment unless given",
    )
    cell_tolerance: Positive | None = Field(
        0.01, description="largest relative difference of a voxel's edges from those of training samples; null is any"
    )
    write: Annotated[Literal["npy", "hdf5"] | Write | None, AfterValidator(_of_kind)] = Field(
        None, description="files for other programs beside those of the workflow"
    )

    @model_validator(mode="after")
    def _agree(self) -> "Prediction":
        if self.dataset is None and self.write is None:
            raise ValueError("neither dataset nor write, which makes nothing; expected one of them or both")
        if self.draws is not None and self.dataset is None:
            raise ValueError("draws without dataset; expected those of held-out samples as inference.draws")
        if self.folds is not None and len(set(self.folds)) < len(self.folds):
            raise ValueError(f"folds is {self.folds}; expected different folds")
        return self
