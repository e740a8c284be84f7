"""Losses by name and as weighted sums. Importing this does not import torch; building a loss does."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from .. import registry
from ..errors import ConfigError
from ..wording import article
from .target import Target

__all__ = ["Loss", "Target", "build", "check", "check_labels", "terms"]

FRAMED = 3  # positional parameters of a loss that asks what the numbers mean
Chosen = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def build(chosen: Chosen, kind: str = "loss") -> "Loss":
    """What the key `loss` of an experiment, complete, stands for: losses of fields, or of another `kind`."""
    return Loss(chosen, kind)


class Loss:
    """A loss, or the weighted sum of several: (prediction, target, frame) -> the number to make small, then its terms.

    wants_frame: whether one of them is called with a `Frame`; without, `frame` may be None
    """

    def __init__(self, chosen: Chosen, kind: str = "loss") -> None:
        loaded = [(name, weight, registry.load(kind, name), options) for name, weight, options in terms(chosen)]
        framed = {name for name, _, function, _ in loaded if _positional(function) >= FRAMED}
        self.wants_frame = bool(framed)
        self.terms = [(name, w, partial(f, **options), name in framed) for name, w, f, options in loaded]

    def __call__(self, prediction: Any, target: Any, frame: Any = None) -> dict[str, Any]:
        """`loss`, the sum, and of several terms `loss/<name>`, each without its weight."""
        values = {name: f(prediction, target, *([frame] if framed else [])) for name, _, f, framed in self.terms}
        for name, value in values.items():
            _check_number(name, value)
        total = sum(weight * values[name] for name, weight, *_ in self.terms)
        return {"loss": total, **({f"loss/{name}": v for name, v in values.items()} if len(values) > 1 else {})}


def _check_number(name: str, value: Any) -> None:
    """One number: a loss of somebody's own may forget its mean."""
    if not hasattr(value, "numel") or value.numel() != 1:
        shape = f"a tensor {tuple(value.shape)}" if hasattr(value, "shape") else article(type(value).__name__)
        raise ConfigError(f"loss: {name!r} returned {shape}; expected a tensor (), the mean over the examples")


def terms(chosen: Chosen) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """(name, weight, options) of each loss of the sum; a single one has no weight."""
    for one in [chosen] if isinstance(chosen, Mapping) else chosen:
        options = dict(one)
        name, weight = options.pop("name"), 1.0 if isinstance(chosen, Mapping) else options.pop("weight")
        yield name, weight, options


def check(chosen: Chosen, target: Target, plugins: bool = True) -> None:
    """Raise ConfigError where a loss asks for another target; without `plugins` those are not asked."""
    known = registry.entries("requirement")
    for name, _, options in terms(chosen):
        entry = known.get(name)
        if entry is None or entry.is_plugin and not plugins:
            continue
        taken = {key: value for key, value in options.items() if key in entry.options}
        try:
            registry.load("requirement", name)(target, **taken)
        except ConfigError as error:
            raise ConfigError(f"loss: {name!r}: {error}") from None


def check_labels(chosen: Chosen, kind: str, parts: int = 1) -> None:
    """Raise ConfigError where a loss is for other labels than `kind`, or does not take a batch in `parts`."""
    known = registry.entries("label_fit")
    for name, _, _ in terms(chosen):
        fit = registry.load("label_fit", name)() if name in known and not known[name].is_plugin else None
        if fit and fit.kind != kind:
            others = [n for n, e in known.items() if not e.is_plugin and registry.load("label_fit", n)().kind == kind]
            raise ConfigError(
                f"loss: {name!r} is for task.answer {fit.kind}, not {kind}; expected {' or '.join(others)}"
            )
        if fit and fit.whole and parts > 1:
            text = f"{name!r} needs the whole batch at once, here in {parts} parts"
            raise ConfigError(f"loss: {text}; expected 1 for training.accumulate, gpus and nodes, or moments")


def _positional(function: Callable[..., Any]) -> int:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
