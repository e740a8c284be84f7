"""Painting with its gradient against plain torch, in time and memory: `python -m tests.benchmarks.painting`.

Memory is the greatest sum of what torch has allocated at once, beyond the displacement itself.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from m2m_core.losses.painting import paint

from ._timing import alternate

__all__ = ["main", "peak"]

EDGE, EXAMPLES = 64, 2


def main() -> None:
    """Print the peak memory over the displacement's bytes of both, and as the last line the ratio of their CPU time."""
    torch.set_num_threads(1)
    moved = 3.0 * torch.randn(EXAMPLES, 3, EDGE, EDGE, EDGE, generator=torch.Generator().manual_seed(0))
    moved.requires_grad_()
    runs = [lambda way=way: _descend(moved, way) for way in (paint, _plain)]
    memory = [peak(run) / moved.nbytes for run in runs]
    ours, plain = alternate(*runs, repeats=7)
    print(f"{EXAMPLES} x {EDGE}^3 particles, density and gradient: {1e3 * ours:.0f} ms CPU, plain {1e3 * plain:.0f} ms")
    print(f"peak memory over the displacement: {memory[0]:.1f}, plain {memory[1]:.1f}")
    print(f"ratio {ours / plain:.3f}")


def peak(run: Callable[[], Any]) -> int:
    """Bytes that torch has allocated on the CPU at most, beyond what there was before `run()`."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(sizes), default=0)


def _descend(moved: Tensor, way: Callable[[Tensor], Tensor]) -> None:
    moved.grad = None
    way(moved).square().mean().backward()


def _plain(moved: Tensor) -> Tensor:
    """Example by example, all corners kept for the backward pass."""
    examples, dims, *space = moved.shape
    home = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in space), indexing="ij"))
    meshes = []
    for example in moved:
        position = (example + home).flatten(1)
        below = position.detach().floor()
        part, mesh = position - below, moved.new_zeros(EDGE**dims)
        for corner in itertools.product((0, 1), repeat=dims):
            share = torch.stack([p if c else 1.0 - p for c, p in zip(corner, part, strict=True)]).prod(0)
            points = [(b + c).long() % n for b, c, n in zip(below, corner, space, strict=True)]
            index = (points[0] * space[1] + points[1]) * space[2] + points[2]
            mesh = mesh.index_add(0, index, share)
        meshes.append(mesh.view(1, *space))
    return torch.stack(meshes)


if __name__ == "__main__":
    main()
