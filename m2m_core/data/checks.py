"""What the samples of a dataset must agree on, found before any is used."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from .readers import printable

__all__ = ["check_samples", "duplicates", "refuse_nonfinite"]

FEW_CHANNELS = 8
SHOWN = 5


def check_samples(samples: Sequence[Any], factor: int | None = None) -> None:
    """Refuse an empty dataset, channels that differ between samples, and shapes that do not match in a sample.

    factor: how many times finer targets are than inputs; any whole number, the same for all samples, if None
    """
    if not samples:
        raise DataError("the dataset holds no samples")
    first = samples[0]
    factor = factor or _finer(first)
    for sample in samples:
        if list(sample.fields) != list(first.fields):
            raise DataError(f"sample {sample.id!r}: has {list(sample.fields)}; {first.id!r} {list(first.fields)}")
        for field, parts in sample.fields.items():
            _check_field(sample, field, parts, first.fields[field])
        _check_scale(sample, factor)


def _check_field(sample: Any, field: str, parts: Sequence[Any], expected: Sequence[Any]) -> None:
    for part, other in zip(parts, expected, strict=True):
        where = f"{printable(part.file)}: shape {part.shape}"
        if _channels_last(part.shape):
            axes = ", ".join(["..."] if len(part.shape) < 3 else map(str, part.shape[:-1]))
            raise DataError(f"{where}: looks channels-last; expected ({part.shape[-1]}, {axes})")
        if part.shape[0] != other.shape[0]:
            raise DataError(f"{where}: {part.shape[0]} channels; {printable(other.file)} has {other.shape[0]}")
        if len(part.shape) != len(other.shape):
            raise DataError(f"{where}: {len(part.shape) - 1} axes of space; {printable(other.file)} has another number")
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(f"{where}: another part of {field!r}, {printable(parts[0].file)}, has {parts[0].shape}")
    if len(sample.box_size) != len(parts[0].shape) - 1:
        axes = len(parts[0].shape) - 1
        raise DataError(f"sample {sample.id!r}: box_size has {len(sample.box_size)} lengths for {axes} axes of space")


def _channels_last(shape: Sequence[int]) -> bool:
    space = set(shape[:-1])
    return len(shape) > 2 and len(space) == 1 and shape[-1] <= FEW_CHANNELS and shape[-1] < shape[0]


def _finer(sample: Any) -> int:
    """How many times finer the target is than the input, rounded down; at least 1."""
    if not {"input", "target"} <= sample.fields.keys():
        return 1
    coarse, fine = (sample.fields[field][0].shape[1:] for field in ("input", "target"))
    return max([1, *(m // n for m, n in zip(fine[:1], coarse[:1], strict=False) if n)])


def _check_scale(sample: Any, factor: int) -> None:
    if not {"input", "target"} <= sample.fields.keys():
        return
    coarse, fine = sample.fields["input"][0], sample.fields["target"][0]
    wanted = tuple(factor * n for n in coarse.shape[1:])
    if fine.shape[1:] != wanted:
        raise DataError(_disagree(fine, coarse, f"factor {factor}" if factor > 1 else "equal shapes"))
    for name in sample.fields.keys() - {"input", "target"}:
        if sample.shape(name) != sample.shape("target"):
            raise DataError(_disagree(sample.fields[name][0], fine, "the shape of the target"))


def _disagree(part: Any, other: Any, expected: str) -> str:
    ratio = "no common axes"
    if len(part.shape) == len(other.shape):
        ratio = "ratio " + " x ".join(f"{n / m:.4g}" for n, m in zip(part.shape[1:], other.shape[1:], strict=True))
    files = f"{printable(part.file)} {part.shape} and {printable(other.file)} {other.shape}"
    return f"{files}: shapes disagree ({ratio}); expected {expected}"


def refuse_nonfinite(findings: Mapping[tuple[str, str], Any]) -> None:
    """DataError for the first array with NaN or Inf: file, count, channel and index of the first such value."""
    for (file, dataset), finding in findings.items():
        if finding.nonfinite:
            channel, *place = finding.first
            raise DataError(
                f"{printable(file)}: {f'dataset {dataset!r}: ' if dataset else ''}{finding.nonfinite} values are not"
                f" finite as float32, the first in channel {channel} at {tuple(place)};"
                " repair the file or set on_nonfinite: mask"
            )


def duplicates(samples: Sequence[Any]) -> list[str]:
    """Refuse the same bytes under two ids in different folds; inside one fold a warning each."""
    first: dict[tuple, Any] = {}
    warnings = []
    for sample in samples:
        for field, parts in sample.fields.items():
            arrays = [one for part in parts for one in (part, *part.terms)]
            key = field, tuple((one.digest, "" if one.alone else one.dataset) for one in arrays)
            other = first.setdefault(key, sample)
            if other is sample:
                continue
            text = f"samples {other.id!r} and {sample.id!r} have the same {field}: {_files(other, sample, field)}"
            if other.fold != sample.fold:
                raise DataError(f"{text}: duplicate content in different folds, {other.fold} and {sample.fold}")
            warnings.append(f"{text}: duplicate content")
    return warnings


def _files(one: Any, two: Any, field: str) -> str:
    return " = ".join(printable(sample.fields[field][0].file) for sample in (one, two))
