"""Data that exist already: which files make which sample, found from names and headers without reading any values."""

import glob
import math
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import h5py
import numpy as np

from ..errors import ConfigError, DataError
from ..options import Positive, Redshift
from ..registry import register
from . import naming
from . import parameters as tables
from .augment import QUANTITIES
from .catalogue import Part, Sample, natural
from .patterns import Match, expand, files
from .readers import Header, attributes, headers, printable
from .readers.probe import probe

__all__ = ["ID", "dated", "hdf5", "inventory", "npy", "physics", "places", "simulated", "with_table"]

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DAY = 86400
SHOWN = 5
EXTRAS = ("velocity", "density")  # what a simulator may add that nothing is compared with
LEAST = {"box_size": 0, **tables.LEAST}  # what attributes are above
AXES = ("box_size", "periodic")  # what may differ from axis to axis
Fields = dict[str, dict[str, dict[str, Match]]]  # field -> part -> id -> file
Read = dict[tuple[str, str], tuple[Header, dict[str, Any]]]  # (file, dataset) -> header, attributes


@register("source", "npy")
def npy(
    wanted: Callable[[str], bool] = bool,
    *,
    input: list[str] | str | dict[str, list[str] | str],
    target: list[str] | str | dict[str, list[str] | str] | None = None,
    baselines: dict[str, list[str] | str] = {},  # noqa: B006
    quantities: dict[str, Literal["scalar", "vector", "displacement", "pseudovector"]] = {},  # noqa: B006
    box_size: Positive | list[Positive] | None = None,
    redshift: Redshift = 0.0,
    omega_m: Positive = 0.3175,
    periodic: bool | list[bool] = True,
    parameters: str | None = None,
) -> list[Sample]:
    """Files of one NumPy array each, (channels, *space); of the `wanted` sample ids.

    Options:
        input: file patterns, or name -> patterns of parts to join; wildcards or {id} name the sample, {group} its group
        target: the same for the target field; none where there is nothing to learn from, see `predictions`
        baselines: name -> patterns of fields that the prediction is compared with
        quantities: field, part or field.part -> how its channels transform; scalar if not given
        box_size: side of the box, or one length an axis [Mpc/h]; one per grid cell if not given
        redshift: of all samples
        omega_m: matter density today in units of the critical one
        periodic: whether the box is continued by its images, or one answer an axis; zeros surround an open one
        parameters: CSV table of numbers of each sample: id, and any names; redshift and omega_m among them count
    """
    found = _wanted(wanted, _found(input, target, baselines))
    choose = _quantities(found, quantities)
    given = {"box_size": box_size, "redshift": redshift, "omega_m": omega_m, "periodic": periodic}
    return with_table(parameters, _samples(found, {key: "" for key, _ in _columns(found)}, choose, given))


@register("source", "hdf5")
def hdf5(
    wanted: Callable[[str], bool] = bool,
    *,
    input: list[str] | str | dict[str, list[str] | str],
    target: list[str] | str | dict[str, list[str] | str] | None = None,
    baselines: dict[str, list[str] | str] = {},  # noqa: B006
    datasets: dict[str, str] = {},  # noqa: B006
    quantities: dict[str, Literal["scalar", "vector", "displacement", "pseudovector"]] = {},  # noqa: B006
    box_size: Positive | list[Positive] | None = None,
    redshift: Redshift | None = None,
    omega_m: Positive | None = None,
    periodic: bool | list[bool] | None = None,
    parameters: str | list[str] | None = None,
) -> list[Sample]:
    """Datasets (channels, *space) in HDF5 files, which may hold several fields each and describe themselves.

    Read are those of the `wanted` sample ids, all unless given.

    Options:
        input: file patterns, or name -> patterns of parts to join; wildcards or {id} name the sample, {group} its group
        target: the same for the target field; none where there is nothing to learn from, see `predictions`
        baselines: name -> patterns of fields that the prediction is compared with
        datasets: field, part or field.part -> path of the dataset inside its file; its own name if not given
        quantities: field, part or field.part -> how its channels transform; else the dataset's attribute, or scalar
        box_size: side of the box, or one length an axis [Mpc/h]; the file's attribute if not given
        redshift: of all samples; the file's attribute, or 0, if not given
        omega_m: matter density today in units of the critical one; the file's attribute if not given
        periodic: whether the box is continued by its images, or one answer an axis; the file's, or true, if not given
        parameters: CSV table of numbers of each sample (id, and any names), or a list of attributes of the files
    """
    found = _wanted(wanted, _found(input, target, baselines))
    _known("datasets", datasets, found)
    choose = _quantities(found, quantities)
    given = {"box_size": box_size, "redshift": redshift, "omega_m": omega_m, "periodic": periodic}
    inside = _inside(found, datasets)
    probe(_by_file((match.file, inside[key]) for key, ids in _columns(found) for match in ids.values()))
    if isinstance(parameters, list):
        return _samples(found, inside, choose, given, parameters)
    return with_table(parameters, _samples(found, inside, choose, given))


def inventory(source: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(path, size, time of change in ns) of every file that a source section names, sorted; [] for simulations.

    Raises DataError for a file that is more than a day in the future: Snakemake would delete what is made from it.
    """
    given = [source.get("input", []), source.get("target") or [], *dict(source.get("baselines") or {}).values()]
    patterns = {pattern for field in given for patterns in _parts(field).values() for pattern in patterns}
    return dated({file for pattern in patterns for file in files(pattern)} | _tables(source))


def dated(files: Iterable[str]) -> list[tuple[str, int, int]]:
    """As `inventory`, of these files."""
    limit = time.time_ns() + DAY * 10**9
    return [_dated(file, limit) for file in sorted(files)]


def places(source: Mapping[str, Any]) -> dict[str, set[str]]:
    """Sample id -> its files, from names alone; raises DataError as the source itself does.

    None where files hold many samples: they are read by one job.
    """
    if source.get("kind") == "cubes":
        named = naming.places(source)
        return {name: files | _tables(source) for name, files in named.items()}
    found = _found(source.get("input", []), source.get("target", []), source.get("baselines") or {})
    files: dict[str, set[str]] = {name: set() for name in next(iter(found["input"].values()))}
    for _, ids in _columns(found):
        for name, match in ids.items():
            files[name].add(match.file)
    return {name: found | _tables(source) for name, found in files.items()}


def _tables(source: Mapping[str, Any]) -> set[str]:
    table = source.get("parameters")
    return {table} if isinstance(table, str) else set()


def simulated(files: Sequence[str]) -> list[Sample]:
    """The samples in files that a simulator wrote, their digests and folds still unknown."""
    patterns = [glob.escape(file) for file in files]
    with h5py.File(files[0], "r") as first:
        names, numbers, group = list(first), *(str(first.attrs.get(word, "")) for word in ("parameters", "group"))
    baselines = {name: patterns for name in names if name not in ("input", "target", *EXTRAS)}
    target: Any = patterns if "target" in names else None
    samples = hdf5(input=patterns, target=target, baselines=baselines, parameters=numbers.split() or None)
    return [replace(sample, group=f"{sample.parameters[group]:g}") for sample in samples] if group else samples


def _dated(file: str, limit: int) -> tuple[str, int, int]:
    try:
        status = os.stat(file)
    except OSError as error:
        raise DataError(f"{printable(file)}: {error.strerror.lower()}") from None
    if status.st_mtime_ns > limit:
        days = (status.st_mtime_ns - limit) / (DAY * 10**9) + 1
        raise DataError(f"{printable(file)}: its time of change is {days:.0f} days ahead: check the clock, or touch it")
    return file, status.st_size, status.st_mtime_ns


# ---- pairing files by id


def _found(input: Any, target: Any, baselines: Mapping[str, Any]) -> Fields:
    if taken := {"input", "target"} & baselines.keys():
        raise ConfigError(f"baselines: {taken.pop()!r} is the name of another field")
    given = {"input": input, **({} if target is None else {"target": target}), **baselines}
    cache: dict[tuple[str, ...], dict[str, Match]] = {}
    found: Fields = {}
    for field, patterns in given.items():
        for part, texts in _parts(patterns).items():
            key = tuple(texts)
            cache[key] = cache.get(key) or _by_id(part or field, key)
            found.setdefault(field, {})[part] = cache[key]
    if missing := [field for field in given if field not in found]:
        raise ConfigError(f"{missing[0]}: no patterns; expected at least one")
    _check_pairs(found)
    return found


def _wanted(wanted: Callable[[str], bool], found: Fields) -> Fields:
    """Those samples alone; all if `wanted` is `bool`, since no id is empty."""
    return {
        field: {part: {name: ids[name] for name in ids if wanted(name)} for part, ids in columns.items()}
        for field, columns in found.items()
    }


def _parts(given: Any) -> dict[str, list[str]]:
    """Part -> patterns, in the order of names, which is that of the channels: a config is a mapping without order."""
    parts = dict(sorted(given.items())) if isinstance(given, Mapping) else {"": given} if given else {}
    return {part: [texts] if isinstance(texts, str) else list(texts) for part, texts in parts.items()}


def _by_id(what: str, patterns: Iterable[str]) -> dict[str, Match]:
    seen: dict[str, Match] = {}
    for match in dict.fromkeys(match for pattern in patterns for match in expand(pattern)):
        other = seen.setdefault(unicodedata.normalize("NFC", match.id).casefold(), match)
        if other is not match:
            both = f"{printable(other.file)} and {printable(match.file)}"
            if other.file == match.file:
                raise DataError(f"{printable(match.file)}: two patterns of {what} match it")
            raise DataError(f"sample id {match.id!r} appears twice in {what}: {both}; expected one file a sample")
    for match in seen.values():
        if not ID.fullmatch(match.id):
            raise DataError(f"{printable(match.file)}: sample id {match.id!r}; expected {ID.pattern}")
        if not match.file.isprintable():
            raise DataError(f"{printable(match.file)}: expected a path of printable characters")
    return {match.id: match for match in seen.values()}


def _check_pairs(found: Fields) -> None:
    columns = {".".join(filter(None, key)): ids for key, ids in _columns(found)}
    everyone = set().union(*columns.values())
    lacks = []
    for label, ids in columns.items():
        if missing := sorted(everyone - ids.keys(), key=natural):
            more = f", ... ({len(missing)} in all)" if len(missing) > SHOWN else ""
            lacks.append(f"{label} lacks {', '.join(missing[:SHOWN])}{more}")
    if lacks:
        raise DataError(f"unpaired files: {'; '.join(lacks)}; expected every sample in every field")


def _columns(found: Fields) -> Iterator[tuple[tuple[str, str], dict[str, Match]]]:
    return (((field, part), ids) for field, parts in found.items() for part, ids in parts.items())


def _known(option: str, given: Mapping[str, Any], found: Fields) -> None:
    names = {*found, *(part for parts in found.values() for part in parts if part)}
    each = {f"{field}.{part}" for (field, part), _ in _columns(found) if part}
    for name in given:
        if name not in names | each:
            raise ConfigError(f"{option}.{name}: no such field or part; known: {', '.join(sorted(names))}")


def _quantities(found: Fields, given: Mapping[str, str]) -> dict[tuple[str, str], str | None]:
    _known("quantities", given, found)
    return {key: _said(given, *key, None) for key, _ in _columns(found)}


def _inside(found: Fields, given: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The dataset that holds a part: as given for it or for its field, else its own name."""
    return {key: _said(given, *key, key[1] or key[0]) for key, _ in _columns(found)}


def _said(given: Mapping[str, str], field: str, part: str, otherwise: Any) -> Any:
    """What an option says of a part, under the narrowest name: input and target may have parts of one name."""
    return next((given[name] for name in (f"{field}.{part}", part, field) if name in given), otherwise)


# ---- samples from headers


def _samples(
    found: Fields,
    inside: Mapping[tuple[str, str], str],
    quantities: Mapping[tuple[str, str], str | None],
    given: Mapping[str, Any],
    words: Sequence[str] = (),
) -> list[Sample]:
    """One candidate a sample, its digests and fold still unknown; the attributes `words` are its parameters."""
    ids = sorted(next(iter(found["input"].values())), key=natural)
    return [_sample(name, found, inside, quantities, given, words) for name in ids]


def with_table(table: str | None, samples: list[Sample]) -> list[Sample]:
    """The samples with the numbers that the table at this path has of them."""
    if table is None:
        return samples
    numbers = tables.read(table)
    tables.refuse_missing(table, (sample.id for sample in samples), numbers)
    return [_with_numbers(sample, dict(numbers[sample.id])) for sample in samples]


def _with_numbers(sample: Sample, numbers: tables.Numbers) -> Sample:
    known = {name: numbers.pop(name) for name in tables.KNOWN if name in numbers}
    return replace(sample, parameters={**sample.parameters, **numbers}, **known)


def _sample(
    name: str,
    found: Fields,
    inside: Mapping,
    quantities: Mapping,
    given: Mapping[str, Any],
    words: Sequence[str],
) -> Sample:
    places = {key: ids[name] for key, ids in _columns(found)}
    read = _headers({(match.file, inside[key]) for key, match in places.items()}, words)
    fields: dict[str, tuple[Part, ...]] = {}
    for (field, part), match in places.items():
        header, said = read[match.file, inside[field, part]]
        quantity = quantities[field, part] or _quantity(match.file, said)
        array = Part(match.file, inside[field, part], header.shape, header.dtype, header.size, "", quantity, 0)
        fields[field] = (*fields.get(field, ()), array)
    space = fields.get("target", fields["input"])[0].shape[1:]
    numbers = {word: _told(name, word, read) for word in words}
    *known, around = physics(read, given, space)
    wraps = around if len(set(around)) > 1 else ()
    return Sample(name, _group(name, places.values()), -1, fields, *known, all(around), numbers, wraps)


def _told(name: str, word: str, read: Read) -> float:
    """A number that the files of a sample must say."""
    if (value := _stored(word, read)) is None:
        raise DataError(f"sample {name!r}: no attribute {word!r} in its files; expected a number (parameters)")
    return value


def _headers(wanted: Iterable[tuple[str, str]], words: Sequence[str]) -> Read:
    return {
        (file, name): (header, said)
        for file, names in _by_file(wanted).items()
        for name, header, said in zip(names, headers(file, names), attributes(file, names, words), strict=True)
    }


def _by_file(wanted: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for file, dataset in sorted(set(wanted)):
        files.setdefault(file, []).append(dataset)
    return files


def _quantity(file: str, said: Mapping[str, Any]) -> str:
    value = said.get("quantity", "scalar")
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if text not in QUANTITIES:
        raise DataError(f"{printable(file)}: quantity {text[:40]!r}; expected one of {', '.join(QUANTITIES)}")
    return text


def _group(name: str, matches: Iterable[Match]) -> str:
    groups = {match.group: match for match in matches if match.group}
    if len(groups) > 1:
        files = " and ".join(printable(match.file) for match in list(groups.values())[:2])
        raise DataError(f"sample {name!r}: in two groups: {files}")
    return next(iter(groups), name)


def physics(read: Read, given: Mapping[str, Any], space: tuple[int, ...]) -> tuple:
    """Of a sample (box_size, redshift, omega_m, periodic along each axis): as given, else as the files say, else the
    default."""
    default = {"box_size": tuple(map(float, space)), "redshift": 0.0, "omega_m": 0.3175, "periodic": True}
    values = {}
    for word in default:
        values[word] = given[word] if given[word] is not None else _stored(word, read)
        if values[word] is None:
            values[word] = default[word]
    box = np.atleast_1d(values["box_size"]).astype(float)
    box = np.repeat(box, len(space)) if len(box) == 1 else box
    around = tuple(map(bool, np.atleast_1d(values["periodic"])))
    around = around * len(space) if len(around) == 1 else around
    if len(around) != len(space):
        raise DataError(f"periodic: {len(around)} answers for {len(space)} axes; expected one, or one an axis")
    return tuple(box.tolist()), float(values["redshift"]), float(values["omega_m"]), around


def _stored(word: str, read: Read) -> Any:
    found, first = None, ""
    for (file, _), (_, said) in read.items():
        if word not in said:
            continue
        value = _attribute(file, word, said[word])
        if found is not None and value != found:
            raise DataError(f"{printable(file)}: {word} {value}; {printable(first)} of the same sample has {found}")
        found, first = value, file
    return found


def _attribute(file: str, word: str, value: Any) -> Any:
    try:
        numbers = np.atleast_1d(np.asarray(value)).astype(float).ravel().tolist()
    except (TypeError, ValueError):
        numbers = []
    good = all(math.isfinite(n) and n > LEAST.get(word, -math.inf) for n in numbers)
    if not numbers or not good or (len(numbers) > 1 and word not in AXES):
        raise DataError(f"{printable(file)}: attribute {word} is {str(value)[:40]!r}; expected a number in range")
    return numbers if word in AXES else numbers[0]
