"""A trained network that tells labels with its normalisation, as torch alone can run it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..data.catalogue import Sample
from ..data.slices import Slices
from ..metrics.answers import Answers
from ..registry import register
from ..tasks.field_to_label import FieldToLabel
from . import tell
from .field_to_field import described
from .normalize import Normal, Several, normal
from .program import Exportable

__all__ = ["Teller", "field_to_label"]


class Teller(nn.Module):
    """Normalise, look, and tell in the units of the labels: the twin of `metrics.answers.Answers.told`."""

    def __init__(self, network: nn.Module, before: Normal | Several, answers: Answers, masked: bool) -> None:
        super().__init__()
        self.network, self.before, self.classes, self.masked = network, before, answers.classes, masked
        for name in ("mean", "spread"):
            value = getattr(answers, name)
            self.register_buffer(name, torch.zeros(1) if value is None else torch.from_numpy(value.copy()))

    def forward(self, examples: Tensor, redshift: Tensor, omega_m: Tensor) -> Tensor:
        """(B, C, thickness, *edges) and two 0-dimensional float64 -> (B, columns) float64."""
        x = self.before(examples.transpose(0, 1), redshift, omega_m).transpose(0, 1)
        if self.masked:
            x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        outputs = self.network(x.flatten(1, 2)).double()
        if self.classes is None:
            mean, spread = outputs.tensor_split(2, dim=1)
            return torch.cat([mean * self.spread + self.mean, spread.clamp(-20, 20).exp() * self.spread**2], 1)
        return outputs if self.classes == 2 else outputs - outputs.logsumexp(1, keepdim=True)


@register("export", "field_to_label")
def field_to_label(task: FieldToLabel) -> Exportable:
    """The network as inference runs it, on any number of slices or whole samples at a time."""
    sample, slices, answers = task.samples().predict[0], task.study.crops, task.answers
    training, chosen = task.study.catalogue.training(task.study.fold), task.settings["normalize"]["input"]
    teller = Teller(task.modules["model"], normal(chosen, task.normal, training), answers, task.masked)
    cut: dict[str, Any] = {"axes": slices.axes, "counts": slices.counts, "thickness": slices.thickness}
    return Exportable(
        module=teller,
        example=partial(_example, teller, sample, slices),
        sizes=[[2], [3]],
        shapes=({0: Dim("examples", min=2)}, None, None),
        only=[2],
        about={
            "input": {**described(sample, "input", task), "shape": list(sample.shape("input"))},
            "examples": {**cut, "step": slices.step, "edges": slices.edges},
            "columns": answers.columns,
            "labels": list(answers.names),
            "classes": answers.classes,
            "periodic": sample.periodic,
        },
        unit=("batches", "examples"),
        loader=tell,
    )


def _example(teller: Teller, sample: Sample, slices: Slices, count: Sequence[int]) -> tuple[Tensor, ...]:
    """So many examples of normal numbers, in physical units."""
    shape = sample.shape("input")[0], *count, slices.thickness, *slices.edges
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    physics = [torch.tensor(x, dtype=torch.float64) for x in (sample.redshift, sample.omega_m)]
    return teller.before.inverse(numbers, *physics).transpose(0, 1).contiguous(), *physics
