"""The keys of ablations: how experiments are made out of one."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..options import MANY, Index, Name, Number, Seed
from .normal import Section

__all__ = ["SERIES", "Ablation", "Random", "Range", "Search"]

Values = Annotated[list[Any], Field(min_length=1, max_length=1000)]
Bound = Annotated[int, Field(ge=-MANY, le=MANY)] | Number
SERIES = 1000  # experiments that one ablation may make
Series = Annotated[int, Field(ge=1, le=SERIES)]


class Range(Section):
    """Numbers between two bounds, both included: integers if both bounds are."""

    low: Bound = Field(description="least value")
    high: Bound = Field(description="greatest value")
    log: bool = Field(False, description="as many between 1 and 10 as between 10 and 100")

    @model_validator(mode="after")
    def _agree(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}, high is {self.high}; expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; expected a number above 0 where log is true")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only integers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Random(Section):
    """Experiments with values drawn at random; more of them leave the first ones as they are."""

    count: Series = Field(description="how many experiments")
    seed: Seed = Field(0, description="decides the values, together with the number of the experiment and the key")


class Search(Section):
    """A search for the best values by validation score, trial after trial, with Optuna."""

    trials: Series = Field(description="how many trainings; more of them continue the search")
    seed: Seed = Field(0, description="decides the values, together with the trials before")
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="where values come from: a model of the trials before, or chance"
    )
    pruner: Literal["none", "median"] = Field(
        "none", description="whether a trial worse than half of those before is stopped, after a quarter of its epochs"
    )
    fold: Index = Field(0, description="the fold whose training samples train and validate the trials")


class Ablation(Section):
    """Makes experiments out of one, in one way: `vary`, `variants`, or `draw` with `random` or `search`."""

    of: Name = Field(description="name of an experiment")
    vary: Annotated[dict[str, Values], Field(min_length=1)] | None = Field(
        None, description="every combination: key of the experiment, with points -> values, `model.width: [4, 8]`"
    )
    variants: Annotated[dict[Name, Annotated[dict[str, Any], Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None, description="by name: key -> value of each, `robust: {loss: huber, training.epochs: 40}`"
    )
    draw: Annotated[dict[str, Values | Range], Field(min_length=1)] | None = Field(
        None,
        description="what is drawn from: key -> a list, or a range `{low: 1.0e-4, high: 1.0e-2, log: true}`",
    )
    random: Random | None = Field(None, description="makes an experiment of each draw")
    search: Search | None = Field(None, description="looks for the best values among the draws")

    @model_validator(mode="after")
    def _is_one_way(self) -> "Ablation":
        drawing = [key for key in ("random", "search") if getattr(self, key) is not None]
        ways = [key for key in ("vary", "variants") if getattr(self, key) is not None] + drawing
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)}; expected one of them, in an ablation of its own each")
        if self.draw is not None and not drawing:
            raise ValueError("draw alone makes nothing; expected random: {count: ...} or search: {trials: ...} with it")
        if drawing and self.draw is None:
            raise ValueError(f"{drawing[0]} without draw; expected draw: {{key: [values] or {{low: ..., high: ...}}}}")
        if not ways:
            raise ValueError("makes nothing; expected vary, variants, or draw with random or search")
        return self
