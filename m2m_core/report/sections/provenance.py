"""Where the numbers come from: config, code, versions, seeds, machines. Known keys alone; never the environment."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ...registry import register
from .. import labels
from ..blocks import Block, Cell, Code, Column, Group, Section, Table, Text
from ..context import Context
from ..results import ExperimentResults

__all__ = ["provenance"]

RUN = ("seed", "steps", "best_step", "seconds", "attempts", "parameters", "hardware", "identity", "code")
NUMBERS = ("seed", "steps", "best_step", "seconds", "attempts", "parameters")
PAGE = ("versions", "code", "plugins", "commit", "hardware", "seed", "created", "command", "platform")
LONGEST = 100_000  # characters of a config


@register("section", "provenance")
def provenance(context: Context) -> Section:
    """Config, versions, code, seeds, times and hardware."""
    known = {key: context.provenance[key] for key in PAGE if key in context.provenance}
    blocks: list[Block] = (
        [Table([Column("", numeric=False), Column("", numeric=False)], _pairs(known))] if known else []
    )
    blocks += context.each({results.name: _trainings(results) for results in context.experiments})
    configs: list[Block] = [Group("Config, complete", [_yaml(context.config)], folded=True)] if context.config else []
    return Section("Provenance", blocks + configs)


def _trainings(results: ExperimentResults) -> list[Block]:
    """One row a fold, the versions below, and the config of the experiment."""
    blocks: list[Block] = []
    if results.trainings:
        columns = [
            Column("fold"),
            *(Column(key.replace("_", " "), numeric=key in NUMBERS) for key in RUN),
        ]
        rows = [[str(k), *(_cell(run.get(key)) for key in RUN)] for k, run in results.trainings.items()]
        blocks.append(Table(columns, rows))
        blocks += _versions(list(results.trainings.values()))
    return [*blocks, Group(f"Config of {results.label}", [_yaml(results.config)], folded=True)]


def _versions(runs: Sequence[Mapping[str, Any]]) -> list[Block]:
    found = list({_line(run["versions"]): None for run in runs if run.get("versions")})
    mixed = [Text("The folds were trained with different versions.", "warning")] if len(found) > 1 else []
    return [*mixed, *(Text(f"Versions: {line}.", "small") for line in found)]


def _pairs(values: Mapping[str, Any]) -> list[list[Cell | str]]:
    return [[key, Cell(_line(value))] for key, value in values.items()]


def _line(value: Any) -> str:
    """A value as one line: 'numpy 2.1, torch 2.10' for a mapping."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_line(item) for item in value)
    return str(value)


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell(labels.DASH, weak=True)
    return Cell(f"{value:.1f}" if isinstance(value, float) else _line(value))


def _yaml(config: Mapping[str, Any]) -> Code:
    text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=100)
    return Code(text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST} characters more")


def _plain(value: Any) -> Any:
    """Only what YAML knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
