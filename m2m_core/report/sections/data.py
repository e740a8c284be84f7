"""What the experiments were trained and judged on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from ...data.catalogue import Sample
from ...registry import register
from .. import labels
from ..blocks import Block, Cell, Column, Group, Section, Table, Text
from ..context import Context
from ..results import ExperimentResults

__all__ = ["data", "warnings"]

LISTED = 5  # names of a warning


@register("section", "data")
def data(context: Context) -> Section:
    """Datasets: samples, shapes, units, folds, and what is odd about them."""
    datasets: dict[str, list[ExperimentResults]] = {}
    for results in context.experiments:
        datasets.setdefault(str(results.catalogue_path), []).append(results)
    groups = [Group(group[0].dataset or "dataset", _dataset(group)) for group in datasets.values()]
    return Section("Data", groups if len(groups) > 1 else [block for group in groups for block in group.blocks])


def _dataset(group: Sequence[ExperimentResults]) -> list[Block]:
    results = group[0]
    samples = results.catalogue.samples
    groups = len({sample.group for sample in samples})
    grouped = f" in {groups} groups" if groups < len(samples) else ""
    walls = {(True,): "periodic", (False,): "not periodic"}.get(
        tuple({a for s in samples for a in s.around}), "partly periodic"
    )
    text = (
        f"{len(samples)} sample{'s' if len(samples) > 1 else ''}{grouped} of {_boxes(samples)}, {walls}, "
        f"redshift {_range(s.redshift for s in samples)}, Ωₘ = {_range(s.omega_m for s in samples)}."
    )
    return [Text(text), *(Text(w, "warning") for w in warnings(results)), _fields(results), _folds(results)]


def warnings(results: ExperimentResults) -> list[str]:
    """What a reader of the numbers must know: values that are not finite, unequal samples, copies, unequal folds."""
    samples = results.catalogue.samples
    bad = {sample.id: count for sample in samples if (count := _nonfinite(sample))}
    found = [f"{sum(bad.values())} values are not finite, in {_listed(bad)}."] if bad else []
    shapes = {sample.shape(_judged(sample)) for sample in samples}
    found += [f"The samples have {len(shapes)} different shapes."] if len(shapes) > 1 else []
    copies = results.catalogue.warnings
    found += copies[:LISTED]
    found += [f"{len(copies) - LISTED} more warnings of this kind."] if len(copies) > LISTED else []
    sizes = Counter(sample.fold for sample in samples).values()
    uneven = "The largest fold has over twice the samples of the smallest."
    return [*found, uneven] if max(sizes) > 2 * min(sizes) else found


def _judged(sample: Sample) -> str:
    """The field that is predicted, or the one that labels are told of."""
    return "target" if "target" in sample.fields else "input"


def _nonfinite(sample: Sample) -> int:
    return sum(part.nonfinite for parts in sample.fields.values() for part in parts)


def _fields(results: ExperimentResults) -> Table:
    """One row a field: quantity, channels, shape, type, bytes."""
    head = [Column("field", numeric=False), Column("quantity", numeric=False), Column("channels"), Column("shape")]
    head += [Column("type", numeric=False), Column("size", "MB")]
    return Table(
        head,
        [_field(results, name) for name in results.catalogue.fields],
        "Fields of a sample; sizes of all samples together.",
    )


def _field(results: ExperimentResults, name: str) -> list[Cell | str]:
    samples = results.catalogue.samples
    first = samples[0]
    quantities = [f"{q} [Mpc/h]" if q == "displacement" else q for q, _ in first.quantities(name)]
    channels, *space = first.shape(name)
    kinds = {np.dtype(part.dtype).name for part in first.fields[name]}
    parts = [part for sample in samples for part in sample.fields[name]]
    size = sum(prod(part.shape) * np.dtype(part.dtype).itemsize for part in parts) / 1e6
    return [
        labels.source(name),
        " + ".join(quantities),
        str(channels),
        _shape(space),
        ", ".join(sorted(kinds)),
        labels.number(size),
    ]


def _folds(results: ExperimentResults) -> Table:
    rows = [
        [str(k), str(len(results.catalogue.training(k))), str(len(results.catalogue.held_out(k)))]
        for k in sorted(results.folds)
    ]
    columns = [Column("fold"), Column("training samples"), Column("held-out samples")]
    return Table(columns, rows, "Every sample is held out in one fold; statistics and training of a fold never see it.")


def _boxes(samples: Sequence[Sample]) -> str:
    boxes = Counter((tuple(s.shape(_judged(s))[1:]), s.box_size) for s in samples)
    words = [f"{_shape(shape)} cells, {_lengths(box)} Mpc/h" for shape, box in list(boxes)[:3]]
    return labels.joined(words) + (f" and {len(boxes) - 3} more kinds" if len(boxes) > 3 else "")


def _shape(space: Iterable[int]) -> str:
    cells = list(space)
    alike = len(set(cells)) == 1 and 1 < len(cells) < 4
    return f"{cells[0]}{'²³'[len(cells) - 2]}" if alike else " × ".join(str(n) for n in cells)


def _lengths(box: Sequence[float]) -> str:
    numbers = [f"{length:g}" for length in box]
    return f"edge {numbers[0]}" if len(set(numbers)) == 1 else " × ".join(numbers)


def _range(values: Iterable[float]) -> str:
    known = sorted(set(values))
    return f"{known[0]:g}" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g}"


def _listed(names: Iterable[str]) -> str:
    words = list(names)
    return (
        labels.joined(words) if len(words) <= LISTED else f"{', '.join(words[:LISTED])} and {len(words) - LISTED} more"
    )
