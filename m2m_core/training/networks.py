"""What is done to the networks of any task before they train: layout, statistics, recomputed activations, compiling."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError, RunError
from .distributed import Member
from .synchronised import synchronise

__all__ = ["compilation", "prepare", "recompute", "refuse_single_values"]

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}  # of the weights for images and for boxes


def prepare(modules: Mapping[str, nn.Module], training: Mapping[str, Any], group: Member) -> None:
    """Make the networks train as `training` says; names, shapes and values of their weights stay as they are."""
    for module in modules.values():
        if training["channels_last"]:
            _lay_out(module)
        if group.size > 1:
            synchronise(module, group)
        if training["checkpoint_activations"]:
            recompute(module)
        if training["compile"]:
            module.forward = torch.compile(module.forward)  # module.compile() leaves an nn.Sequential as it is


def _lay_out(network: nn.Module) -> None:
    """Convolutions whose weights have their channels last make fields that have them last."""
    for parameter in network.parameters():
        if parameter.ndim in LAYOUTS:
            parameter.data = parameter.data.contiguous(memory_format=LAYOUTS[parameter.ndim])


def refuse_single_values(modules: Mapping[str, nn.Module]) -> None:
    """Where a batch may have one example: ConfigError when a batch normalisation first gets one value a channel of it.

    That is while the first batch of its network is computed, not where the short batch of an epoch ends it.
    """
    for name, module in modules.items():
        for norm in (m for m in module.modules() if isinstance(m, _BatchNorm)):
            handles: list[Any] = []
            handles.append(norm.register_forward_pre_hook(partial(_refuse_single_value, name, handles)))


def _refuse_single_value(name: str, handles: list[Any], norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """A hook that is called once while the network trains."""
    if not norm.training:
        return
    handles.pop().remove()
    if inputs[0][0, 0].numel() == 1:
        text = f"a batch of one example, of which batch normalisation in {name} gets one value a channel"
        raise ConfigError(
            f"training.batch_size: {text}; expected no such batch, larger crops, or another normalization"
        )


@contextlib.contextmanager
def compilation(wanted: bool) -> Iterator[None]:
    """A compiler that is missing, or that fails, is one line."""
    try:
        yield
    except Exception as error:
        if not wanted or not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
        raise RunError(f"training.compile: {text}; install a compiler (g++, triton) or set it to false") from error


# ---- activations


def recompute(network: nn.Module) -> None:
    """Keep of each block of `network` its input alone, and compute the rest again in the backward pass.

    Blocks are the children of the network, and of its lists of modules, that have children of their own.
    """
    for child in _blocks(network):
        child.forward = partial(_recomputed, child, child.forward)  # type: ignore[method-assign]


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _blocks(child)
        elif any(True for _ in child.children()):
            yield child


def _recomputed(block: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _Unmoved(block))
    )


class _Unmoved:
    """A block as it was before its first pass, for the pass that is made again, perhaps twice by second derivatives.

    What the first pass moved, running statistics and the vectors of spectral norms, stays where it is by now.
    """

    def __init__(self, block: nn.Module) -> None:
        self.tracking = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.num_batches_tracked is not None]
        self.trained = [(parameter, parameter.requires_grad) for parameter in block.parameters()]
        self.vectors = [(vector, vector.clone()) for vector in _vectors(block)]

    def __enter__(self) -> None:
        self.before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in self.tracking]
        self.moved = [vector.clone() for vector, _ in self.vectors]
        self.now = [parameter.requires_grad for parameter, _ in self.trained]
        for norm in self.tracking:
            norm.momentum = 0.0
        for vector, first in self.vectors:
            vector.copy_(first)
        for parameter, trained in self.trained:
            parameter.requires_grad_(trained)

    def __exit__(self, *error: object) -> None:
        for norm, (momentum, count) in zip(self.tracking, self.before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
        for (vector, _), moved in zip(self.vectors, self.moved, strict=True):
            vector.copy_(moved)
        for (parameter, _), trained in zip(self.trained, self.now, strict=True):
            parameter.requires_grad_(trained)


def _vectors(block: nn.Module) -> Iterator[torch.Tensor]:
    """Those from which each pass of a layer under spectral norm iterates towards its largest singular value."""
    for layer in block.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                yield from (getattr(layer, f"{hook.name}_{letter}") for letter in "uv")
