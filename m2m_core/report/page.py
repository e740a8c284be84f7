"""The page: sections -> one HTML file that needs nothing else, runs nothing and asks nobody."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import registry
from ..errors import DataError
from ..files import write_text
from . import labels
from .blocks import Section
from .context import Context, SearchFiles
from .results import ExperimentResults

__all__ = ["ORDER", "render", "write"]

HERE = Path(__file__).parent
ORDER = (
    "summary",
    "labels",
    "bins",
    "ablations",
    "search",
    "spectra",
    "draws",
    "slices",
    "learning",
    "samples",
    "data",
    "provenance",
)
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def write(
    path: str | Path,
    experiments: Sequence[ExperimentResults],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Mapping[tuple[str, str], str | Path],
    comparisons: Mapping[str, str | Path] | None = None,
    searches: Mapping[str, SearchFiles] | None = None,
) -> None:
    """Publish the page of all experiments at `path` in one step.

    figures: SVG files by (experiment, figure); comparisons: SVG files by ablation; searches: by ablation
    """
    paths = {key: Path(file) for key, file in figures.items()}
    compared = {ablation: Path(file) for ablation, file in (comparisons or {}).items()}
    write_text(path, render(Context(experiments, config, provenance, paths, compared, searches or {})))


def render(context: Context) -> str:
    """The page as HTML, with the sections of `config["report"]["sections"]`, or all of them."""
    report = context.config.get("report") or {}
    sections = [_section(choice, context) for choice in report.get("sections") or _all()]
    title = report.get("title") or "Field emulators"
    shown = [section for section in sections if section.blocks]
    template = _environment().get_template("page.html")
    return template.render(title=title, subtitle=_subtitle(context), sections=shown, css=_css())


def embedded(path: Path) -> str:
    """A picture file as a data: URI."""
    if path.suffix not in TYPES:
        raise DataError(f"{path}: cannot be shown; expected {' or '.join(TYPES)}")
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _section(choice: str | Mapping[str, Any], context: Context) -> Section:
    options = {} if isinstance(choice, str) else dict(choice)
    name = options.pop("name", choice)
    return registry.load("section", name)(context, **registry.check("section", name, options, "report.sections"))


def _all() -> list[str]:
    known = registry.entries("section")
    return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]


def _subtitle(context: Context) -> str:
    datasets = list(dict.fromkeys(results.dataset for results in context.experiments if results.dataset))
    runs = sum(len(results.folds) for results in context.experiments)
    done = sum(len(results.evaluated) for results in context.experiments)
    count = len(context.experiments)
    words = f"{count} experiment{'s' if count != 1 else ''}"
    on = f" on {labels.joined(datasets)}" if datasets else ""
    return f"{words}{on}; {done} of {runs} folds evaluated."


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=False,
    )
    environment.filters["embedded"] = embedded
    return environment


def _printable(value: Any) -> Any:
    """Text without control characters; what is already HTML stays as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return labels.printable(value, keep="\n\t")


def _css() -> Markup:
    return Markup((HERE / "page.css").read_text(encoding="utf-8"))
