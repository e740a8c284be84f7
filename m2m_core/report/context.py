"""What every section of the report is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..family import figure_of
from . import labels
from .blocks import Block, Group, Picture, Text
from .results import ExperimentResults

__all__ = ["Context", "SearchFiles", "missing", "warning"]


@dataclass(frozen=True)
class SearchFiles:
    """What a search leaves: the table of its trials, the config of the best one, and a figure."""

    trials: Path
    best: Path
    figure: Path


@dataclass(frozen=True)
class Context:
    """All experiments of a config, the config itself, its provenance, and the drawn figures by (experiment, figure).

    comparisons: ablation -> its drawn figure; searches: ablation -> the files of its search
    """

    experiments: Sequence[ExperimentResults]
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    figures: Mapping[tuple[str, str], Path]
    comparisons: Mapping[str, Path] = field(default_factory=dict)
    searches: Mapping[str, SearchFiles] = field(default_factory=dict)

    def base(self, results: ExperimentResults) -> ExperimentResults | None:
        """The experiment that an ablation varies; None for one that stands by itself."""
        if results.base in (None, results.name):
            return None
        return next((other for other in self.experiments if other.name == results.base), None)

    def each(self, blocks: Mapping[str, Sequence[Block]]) -> list[Block]:
        """The blocks of each experiment under its name: alone without heading, those of ablations folded away."""
        filled = [results for results in self.experiments if blocks.get(results.name)]
        if len(filled) == 1 and len(self.experiments) == 1:
            return list(blocks[filled[0].name])
        return [Group(r.label, blocks[r.name], folded=self.base(r) is not None, note=missing(r)) for r in filled]

    def pictures(self, names: Sequence[str]) -> list[Block]:
        """These figures of all experiments."""
        summaries = {name: figure_of(name).summary for name in names}
        return self.each({r.name: self._drawn(r, summaries) for r in self.experiments})

    def _drawn(self, results: ExperimentResults, summaries: Mapping[str, str]) -> list[Block]:
        paths = {name: self.figures.get((results.name, name)) for name in summaries}
        return [
            Picture(Path(path), f"{results.label}: {summaries[name]}", summaries[name])
            for name, path in paths.items()
            if path is not None and Path(path).is_file()
        ]


def missing(results: ExperimentResults) -> str:
    """'fold 2 is missing', '' if none is."""
    if not results.missing:
        return ""
    return f"{labels.folds(results.missing)} {'is' if len(results.missing) == 1 else 'are'} missing"


def warning(results: ExperimentResults) -> list[Block]:
    """Says which folds are missing and what the numbers are made of."""
    if not results.missing:
        return []
    alone = f"its numbers are of {labels.folds(results.evaluated)} alone, and are not ranked"
    done = alone if results.evaluated else "it has no numbers"
    return [Text(f"{results.label}: {missing(results)} ({len(results.folds)} expected); {done}.", "warning")]
