"""A module, what must be known about it and its ten-line loader, as one file without pickles: torch.export's `.pt2`."""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..errors import RunError
from ..files import write_whole
from . import emulate

__all__ = ["Exportable", "save"]

ABOUT = "about.json"  # below archive/extra in the file
TOLERANCE = 1e-5  # of the loaded program against the module, relative to the largest value
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


@dataclass(frozen=True)
class Exportable:
    """What a family says of a trained model that leaves the house.

    module: physical units in, physical units out; tensors alone
    example: edges of a field [voxels] -> inputs of the module
    sizes: small fields, the first of different edges: it is traced, and all are checked
    shapes: for each input the axes of free size, as `torch.export` wants them
    only: the size that is left should the network not admit others
    about: JSON for whoever uses it: what goes in and out, units, sizes
    """

    module: nn.Module
    example: Callable[[Sequence[int]], tuple[Tensor, ...]]
    sizes: Sequence[Sequence[int]]
    shapes: tuple[Any, ...]
    only: Sequence[int]
    about: Mapping[str, Any]
    unit: tuple[str, str] = ("fields", "voxels")  # what has a size, and what it is measured in
    loader: ModuleType = emulate  # needs torch alone, and goes with the program


def save(path: str | Path, exportable: Exportable, about: Mapping[str, Any]) -> tuple[int, bool]:
    """Write the program, checked against the module after loading it again; returns its bytes, and if sizes are free.

    Raises RunError when the module cannot be exported, or not exactly.
    """
    module = exportable.module.eval().requires_grad_(False)
    program, free = _traced(module, exportable)
    told = json.dumps({**about, **exportable.about, "free": free}, indent=1, sort_keys=True, allow_nan=False)
    loader = Path(str(exportable.loader.__file__))
    data = _packed(_without_traces(program), {ABOUT: told, loader.name: loader.read_text(encoding="utf-8")})
    _check(path, data, module, map(exportable.example, exportable.sizes if free else [exportable.only]))
    write_whole(path, lambda stream: stream.write(data))
    return len(data), free


def _traced(module: nn.Module, exportable: Exportable) -> tuple[ExportedProgram, bool]:
    """The program, and whether its sizes are free."""
    try:
        return _program(module, exportable.example(exportable.sizes[0]), exportable.shapes), True
    except Exception:  # torch names dozens of reasons: a network of a plugin that looks at its sizes, for one
        return _program(module, exportable.example(exportable.only), None), False


def _program(module: nn.Module, inputs: tuple[Tensor, ...], shapes: Any) -> ExportedProgram:
    with torch.no_grad():
        try:
            return torch.export.export(module, inputs, dynamic_shapes=shapes)
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise RunError(f"the network cannot be exported by torch {torch.__version__}: {reason}") from error


def _without_traces(program: ExportedProgram) -> ExportedProgram:
    """Without example inputs, which would be pickled, and without paths and lines of this machine's code."""
    program.example_inputs = None
    for graph in (m.graph for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)):
        for node in graph.nodes:
            for key in TRACES:
                node.meta.pop(key, None)
    return program


def _packed(program: ExportedProgram, extra: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files=dict(extra))
    return stream.getvalue()


def _check(path: str | Path, data: bytes, module: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    program = torch.export.load(io.BytesIO(data)).module()
    with torch.no_grad():
        for example in inputs:
            expected, found = module(*example), program(*example)
            error = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
            if not error <= TOLERANCE:
                raise RunError(f"{path}: the exported program differs from the model by {error:.1g} of its values")
