"""Keys that name code: how a name is looked up, completed by its options, and told to the JSON schema."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from .. import registry
from ..errors import ConfigError
from ..options import Positive
from ..registry import STRICT
from ..wording import complaint, hint, joined, shown

__all__ = ["Choice", "Names", "Term", "choices_of"]


class Term(BaseModel):
    """What each of a list that is a weighted sum takes beside its options."""

    model_config = STRICT

    weight: Positive = Field(1.0, description="what it counts in the sum, in a list")


class Choice:
    """Marks a field that names code of one of `kinds`: `vnet`, or `{name: vnet, width: 8}`; or a list of these.

    Where it is `weighted`, a list is a sum, and each of it has a weight. It is `called` by its kinds unless given.
    """

    def __init__(self, *kinds: str, key: str = "name", weighted: bool = False, called: str | None = None) -> None:
        self.kinds, self.key, self.weighted = kinds, key, weighted
        self.called = called or " or ".join(kinds)

    def resolve(self, value: Any, where: str) -> Any:
        """The chosen name with all its options; raises ConfigError, also on a list that names one twice."""
        if isinstance(value, list):
            chosen = [self._one(item, joined(where, i)) for i, item in enumerate(value)]
            times = Counter(item[self.key] for item in chosen)
            if twice := [name for name, n in times.items() if n > 1]:
                raise ConfigError(f"{where}: {twice[0]!r} {times[twice[0]]} times; expected each once")
            return chosen
        options = {self.key: value} if isinstance(value, str) else dict(value)
        if self.key not in options:
            raise ConfigError(f"{joined(where, self.key)}: missing; {hint('', self.known())}")
        name = options.pop(self.key)
        if self.weighted and "weight" in options:
            raise ConfigError(f"{where}.weight: of a single {self.kinds[0]}; expected a list of them to weigh")
        kind = self.kind_of(name, where if isinstance(value, str) else joined(where, self.key))
        return {self.key: name, **registry.check(kind, name, options, where)}

    def _one(self, value: Any, where: str) -> Any:
        """One of a list, with its weight if they are weighted."""
        if not self.weighted:
            return self.resolve(value, where)
        options = {} if isinstance(value, str) else dict(value)
        given = {key: options.pop(key) for key in Term.model_fields if key in options}
        try:
            term = Term.model_validate(given).model_dump()
        except ValidationError as error:
            raise ConfigError(complaint(error, Term.model_json_schema(), given, where)) from None
        return {**self.resolve(value if isinstance(value, str) else options, where), **term}

    def known(self) -> dict[str, str]:
        """Name -> kind of everything that may be named."""
        return {name: kind for kind in self.kinds for name in registry.entries(kind)}

    def kind_of(self, name: Any, where: str) -> str:
        """Which kind has an entry of this name; raises ConfigError with the nearest one."""
        if not isinstance(name, str) or name not in self.known():
            raise ConfigError(
                f"{where}: unknown {self.called} {shown(name)}; {hint(name, self.known())}{registry.silent()}"
            )
        return self.known()[name]

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict:
        mark = {"kinds": list(self.kinds), "key": self.key, "weighted": self.weighted, "called": self.called}
        return {**handler(core), "x-choice": mark}


class Names:
    """Marks a text that names code of one of `kinds` without options."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict:
        names = sorted({name for kind in self.kinds for name in registry.entries(kind)})
        return {**handler(core), "enum": names, "x-names": list(self.kinds)}


def choices_of(section: type[BaseModel]) -> Iterator[tuple[str, Choice]]:
    """The keys of a section that are choices."""
    for name, info in section.model_fields.items():
        yield from ((name, mark) for mark in info.metadata if isinstance(mark, Choice))
