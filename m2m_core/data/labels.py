"""Cubes whose names say what they are: theory, seed, snapshot. Labels, groups and redshifts come from the names."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import DataError
from ..options import Annotated, Field, Number, Positive, Redshift
from ..physics.cosmology import growth
from ..registry import register
from .catalogue import Part, Sample, natural
from .naming import SNAPSHOT, check_words, identity, listed
from .patterns import files, has_wildcards, words
from .readers import Header, array_names, attributes, headers, printable
from .readers.probe import probe
from .scan import VALUES
from .sources import ID, physics, with_table

__all__ = ["cubes"]

SHOWN = 5
Label = list[str] | str


@dataclass(frozen=True)
class Named:
    """An array and what its name says."""

    file: str
    dataset: str
    words: dict[str, str]  # placeholder -> text

    @property
    def id(self) -> str:
        """The texts joined, in the order of the patterns."""
        return "-".join(self.words.values())


@register("source", "cubes")
def cubes(
    wanted: Callable[[str], bool] = bool,
    *,
    input: list[str] | str,
    dataset: str = "data",
    labels: dict[str, dict[str, list[str] | str]] = {},  # noqa: B006
    group: str | None = "seed",
    redshifts: dict[str, Redshift] = {},  # noqa: B006
    difference: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None,
    factors: dict[str, dict[str, Number]] = {},  # noqa: B006
    channels: bool = False,
    box_size: Positive | list[Positive] | None = None,
    redshift: Redshift | None = None,
    omega_m: Positive | None = None,
    periodic: bool | None = None,
    parameters: str | None = None,
) -> list[Sample]:
    """Cubes or maps with labels and without a target: many in one HDF5 file, or one a file, of the `wanted` ids.

    Words in braces, {theory} or {seed}, in the names of files and of the datasets inside them say what a cube is; all
    together they make its id, `{seed}` and other numbers are kept as its numbers, and the labels are made of them.
    A difference of maps is phi(z1) / D'(z1) - phi(z2) / D'(z2), where D' = (1 + z) D(z) is the growth of the linear
    potential: of it nothing is left.

    Options:
        input: file patterns with words in braces, such as seed{seed}/{theory}/{theory}_snap00{snapshot}_phi.h5
        dataset: path inside the file, such as data, {theory}_seed{seed} or {seed}/{theory}; not of .npy files
        labels: name -> word -> text: 1 where the word is that text, else 0; or texts, then which of them, from 0
        group: the word whose members stay together in one fold; null if all cubes are independent
        redshifts: text of {snapshot} -> redshift
        difference: two redshifts out of these, earlier and later: each sample is the difference of their maps
        factors: word -> text -> what its cubes are multiplied with; 0.9 of one class is a test that must be passed
        channels: whether the first axis of the arrays is that of channels; else there is one
        box_size: side of the box, or one length an axis [Mpc/h]; the file's attribute if not given
        redshift: of all samples, without `redshifts`; the file's attribute, or 0, if not given
        omega_m: matter density today in units of the critical one; the file's attribute if not given
        periodic: whether the box is continued by its images; the file's attribute, or true, if not given
        parameters: CSV table of numbers of each sample: id, and any names
    """
    check_words({"input": input, "dataset": dataset, "labels": labels, "group": group, "redshifts": redshifts,
                 "difference": difference, "factors": factors})  # fmt: skip
    found = sorted(_found(listed(input), dataset), key=lambda one: natural(one.id))
    _check_labels(found, labels)
    _check_factors(found, factors)
    if group:
        _check_groups(found, group)
    given = {"box_size": box_size, "redshift": redshift, "omega_m": omega_m, "periodic": periodic}
    found = [one for one in found if wanted(identity(one.words, difference))]
    making = Making(_read(found), given, channels, factors, redshifts, labels, group, has_wildcards(dataset))
    samples = making.differences(found, difference) if difference else map(making.sample, found)
    return with_table(parameters, list(samples))


@dataclass(frozen=True)
class Making:
    """How named arrays become samples, their digests and folds still unknown; see the options of `cubes`."""

    read: Mapping[tuple[str, str], tuple[Header, dict[str, Any]]]
    given: Mapping[str, Any]
    channels: bool
    factors: Mapping[str, Mapping[str, float]]
    redshifts: Mapping[str, float]
    labels: Mapping[str, Mapping[str, Label]]
    group: str | None
    many: bool  # whether files hold many samples, each with a digest of its own

    def sample(self, one: Named) -> Sample:
        """A cube as it is, but for its factor."""
        part, (size, redshift, *rest) = self._part(one), self._physics(one)
        redshift = self.redshifts[_known_snapshot(one, self.redshifts)] if self.redshifts else redshift
        return self._sample(one.words, part, (size, redshift, *rest))

    def differences(self, found: Sequence[Named], redshifts: Sequence[float]) -> Iterator[Sample]:
        """Of the two snapshots of each cube; of later redshift is what is subtracted, and that is the sample's."""
        texts = [next(text for text, value in self.redshifts.items() if value == z) for z in redshifts]
        cubes: dict[str, dict[str, Named]] = {}
        for one in found:
            cubes.setdefault(_without_snapshot(one).id, {})[one.words[SNAPSHOT]] = one
        for name, snapshots in cubes.items():
            if missing := [text for text in texts if text not in snapshots]:
                raise DataError(f"sample {name!r}: no snapshot {missing[0]!r}; expected {' and '.join(texts)}")
            yield self._difference(*(snapshots[text] for text in texts), redshifts)

    def _difference(self, early: Named, late: Named, redshifts: Sequence[float]) -> Sample:
        size, _, omega_m, periodic = self._physics(early)
        weights = [sign / ((1.0 + z) * float(growth(z, omega_m))) for sign, z in zip((1, -1), redshifts, strict=True)]
        first, term = (self._part(one, weight) for one, weight in zip((early, late), weights, strict=True))
        if first.shape != term.shape:
            raise DataError(f"{printable(term.file)}: shape {term.shape}; {printable(first.file)} has {first.shape}")
        part = replace(first, terms=(term,))
        return self._sample(_without_snapshot(early).words, part, (size, redshifts[1], omega_m, periodic))

    def _sample(self, words: dict[str, str], part: Part, physics: tuple) -> Sample:
        numbers = {word: float(text) for word, text in words.items() if text.isdecimal() and word != SNAPSHOT}
        numbers |= {label: _label(by, words) for label, by in self.labels.items()}
        name = "-".join(words.values())
        return Sample(name, words[self.group] if self.group else name, -1, {"input": (part,)}, *physics, numbers)

    def _part(self, one: Named, weight: float = 1.0) -> Part:
        header, _ = self.read[one.file, one.dataset]
        shape = header.shape if self.channels else (1, *header.shape)
        if not 2 <= len(shape) <= 4:
            raise DataError(f"{printable(one.file)}: shape {header.shape}; see channels of the source")
        factor = math.prod(by.get(one.words[word], 1.0) for word, by in self.factors.items())
        known = header.dtype, header.size, VALUES if self.many and one.dataset else "", "scalar", 0
        return Part(one.file, one.dataset, shape, *known, factor=factor * weight)

    def _physics(self, one: Named) -> tuple:
        header, _ = place = self.read[one.file, one.dataset]
        space = header.shape[1:] if self.channels else header.shape
        *known, around = physics({(one.file, one.dataset): place}, self.given, space)
        return (*known, all(around))


def _without_snapshot(one: Named) -> Named:
    return replace(one, words={word: text for word, text in one.words.items() if word != SNAPSHOT})


def _known_snapshot(one: Named, redshifts: Mapping[str, float]) -> str:
    text = one.words[SNAPSHOT]
    if text not in redshifts:
        known = ", ".join(map(repr, redshifts))
        raise DataError(f"{printable(one.file)}: snapshot {text!r} has no redshift; expected one of {known}")
    return text


def _label(by: Mapping[str, Label], words: Mapping[str, str]) -> float:
    ((word, text),) = by.items()
    return float(words[word] == text if isinstance(text, str) else text.index(words[word]))


# ---- what is there


def _found(patterns: Sequence[str], dataset: str) -> Iterator[Named]:
    seen: dict[str, Named] = {}
    for pattern in patterns:
        for file in files(pattern):
            for one in _inside(file, words(pattern, file) or {}, dataset):
                if not ID.fullmatch(one.id):
                    raise DataError(f"{printable(file)}: sample id {one.id!r}; expected {ID.pattern}")
                if (other := seen.setdefault(one.id, one)) is not one:
                    places = f"{printable(other.file)} {other.dataset} and {printable(file)} {one.dataset}"
                    raise DataError(
                        f"sample id {one.id!r} appears twice: {places}; expected words that tell them apart"
                    )
                yield one


def _inside(file: str, known: dict[str, str], dataset: str) -> Iterator[Named]:
    """The arrays of a file whose names match and agree with that of the file."""
    names = array_names(file) if has_wildcards(dataset) else [dataset]
    names = [""] if file.endswith(".npy") else names
    found = [(name, words(dataset, name) or {}) for name in names if not name or words(dataset, name) is not None]
    if not found:
        listed = ", ".join(map(repr, names[:SHOWN])) or "none"
        raise DataError(f"{printable(file)}: no dataset like {dataset!r}; it holds {listed}, ... ({len(names)} in all)")
    agreeing = [(name, said) for name, said in found if {**said, **known} == {**known, **said}]
    if not agreeing:
        text = f"dataset {found[0][0]!r} has other words than the name of the file ({len(found)} in all)"
        raise DataError(f"{printable(file)}: {text}; expected one that agrees")
    for name, said in agreeing:
        yield Named(file, name, {**known, **said})


def _read(found: Sequence[Named]) -> dict[tuple[str, str], tuple[Header, dict[str, Any]]]:
    """Headers and attributes; each file is opened once for all of its arrays."""
    by_file: dict[str, list[str]] = {}
    for one in found:
        by_file.setdefault(one.file, []).append(one.dataset)
    probe(by_file)
    return {
        (file, name): known
        for file, names in by_file.items()
        for name, *known in zip(names, headers(file, names), attributes(file, names), strict=True)
    }


def _check_labels(found: Sequence[Named], labels: Mapping[str, Mapping[str, Label]]) -> None:
    """Every class has a cube; and where the classes are listed, every cube has one."""
    for label, by in labels.items():
        for word, wanted in by.items():
            texts = {one.words[word] for one in found}
            missing = [text for text in listed(wanted) if text not in texts]
            beyond = sorted(texts - set(wanted)) if isinstance(wanted, list) else []
            if missing or beyond:
                what = f"no {word} {missing[0]!r}" if missing else f"{word} {beyond[0]!r} has no class"
                raise DataError(f"labels.{label}: {what}; the names have {', '.join(sorted(texts)[:SHOWN])}")


def _check_factors(found: Sequence[Named], factors: Mapping[str, Mapping[str, float]]) -> None:
    """Every factor has a cube, or the test that it is would be passed by a misspelt name."""
    for word, by in factors.items():
        texts = {one.words[word] for one in found}
        if missing := [text for text in by if text not in texts]:
            what = f"no {word} {missing[0]!r}; the names have {', '.join(sorted(texts)[:SHOWN])}"
            raise DataError(f"factors.{word}: {what}")


def _check_groups(found: Sequence[Named], group: str) -> None:
    """Every group has the same members, as every seed both theories: a class that lacks some is told by its seeds."""
    members: dict[str, set[tuple[str, ...]]] = {}
    for one in found:
        others = tuple(text for word, text in one.words.items() if word != group)
        members.setdefault(one.words[group], set()).add(others)
    everything = set().union(*members.values())
    lacking = [(name, everything - own) for name, own in members.items() if everything - own]
    if lacking:
        name, missing = lacking[0]
        more = f", ... ({len(lacking)} in all)" if len(lacking) > 1 else ""
        raise DataError(
            f"{group} {name!r} lacks {'-'.join(min(missing))}{more}; expected the same of every {group}, or group: null"
        )
