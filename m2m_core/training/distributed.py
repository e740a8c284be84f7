"""The processes of one training, each with a part of every batch: what they tell each other, and nothing when alone."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import torch
from torch import Tensor, distributed, nn

from ..errors import RunError
from ..models import devices
from .gradients import BUCKET, Gradients, buckets, summed

__all__ = ["Alone", "Group", "Lost", "Member", "join"]

PATIENCE = timedelta(hours=1)  # longer than any process does something that the others only wait for

Wishes = Callable[[], tuple[bool, ...]]
Modules = Mapping[str, nn.Module]


class Lost(RunError):
    """Another process of the training is gone; why is known to the first one, which started it."""


class Member(Protocol):
    """What one process knows of all: its rank among `size`, whether it is the one that writes."""

    rank: int
    size: int
    leads: bool
    weight: float  # of the batch, the part that is in this process

    def device(self, name: str) -> torch.device:
        """Where this process trains when the config says `name`."""

    def attach(self, modules: Modules) -> None:
        """From now on every backward pass ends with the gradients of the whole batch."""

    def weigh(self, weight: float) -> None:
        """The part of the next batch that is in this process: its gradients and scalars count so much."""

    def average(self, value: Tensor) -> Tensor:
        """The mean over all processes, weighted by the part of the batch that each has."""

    def settle(self) -> None:
        """After an update: what a forward pass changed of the modules (running statistics) becomes the same."""

    def vote(self, wishes: Wishes) -> Wishes:
        """Begin to ask every process for its wishes; calling the result tells what anyone wishes, the same for all."""

    def mean(self, rows: Tensor, weights: Sequence[float]) -> Tensor:
        """Rows (updates, scalars) of all processes, averaged by the weight that each had in each update."""

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a number over all processes, in the order of ranks."""

    def compare(self, digest: Callable[[], bytes], what: str) -> None:
        """Raise RunError unless all processes have the same 32 bytes."""


class Alone:
    """One process: nothing to tell."""

    rank, size, leads, weight = 0, 1, True, 1.0

    def device(self, name: str) -> torch.device:
        """The device itself."""
        return devices.choose(name)

    def attach(self, modules: Modules) -> None:
        """Nothing."""

    def weigh(self, weight: float) -> None:
        """Nothing: the weight is one."""

    def average(self, value: Tensor) -> Tensor:
        """The value."""
        return value

    def settle(self) -> None:
        """Nothing."""

    def vote(self, wishes: Wishes) -> Wishes:
        """The wishes themselves, as late as they are asked for."""
        return wishes

    def mean(self, rows: Tensor, weights: Sequence[float]) -> Tensor:
        """The rows."""
        return rows

    def sum(self, value: Tensor) -> Tensor:
        """The value."""
        return value

    def compare(self, digest: Callable[[], bytes], what: str) -> None:
        """Nothing to compare."""


class Group:
    """One of several processes, connected by torch.distributed: NCCL between GPUs, Gloo between CPUs.

    All of them call the same methods in the same order. Raises Lost as soon as one is found to be gone.
    """

    def __init__(self, rank: int, size: int, local: int) -> None:
        self.rank, self.size, self.local, self.leads = rank, size, local, rank == 0
        self.weight = 1.0
        self.buffers: list[list[Tensor]] = []

    def device(self, name: str) -> torch.device:
        """The CPU, or the GPU of this node that has the number of this process among those of the node."""
        device = devices.choose(name)
        return torch.device("cuda", self.local) if device.type == "cuda" else device

    def attach(self, modules: Modules) -> None:
        """From now on every backward pass through `modules` ends with the gradients of the whole batch."""
        parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
        running = [b for module in modules.values() for b in module.buffers() if b.is_floating_point()]
        self.buffers = buckets(running, BUCKET)
        Gradients(parameters, self._add)

    def weigh(self, weight: float) -> None:
        """The part of the next batch that is in this process."""
        self.weight = weight

    def _add(self, values: Tensor) -> Callable[[], None]:
        """Begin to replace `values` by their weighted sum over all processes; calling the result waits for it."""
        values.mul_(self.weight)
        with _connected():
            work = distributed.all_reduce(values, async_op=True)

        def wait() -> None:
            with _connected():
                work.wait()

        return wait

    def average(self, value: Tensor) -> Tensor:
        """The mean over all processes, weighted by the part of the batch that each has."""
        flat = value.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
        self._add(flat)()
        return flat.view(value.shape)

    def settle(self) -> None:
        """The running statistics become the mean over all processes, weighted as their examples."""
        for buffers in self.buffers:
            summed(buffers, self._add)()

    def vote(self, wishes: Wishes) -> Wishes:
        """The wishes of now travel while this process works on."""
        flags = torch.tensor(wishes(), dtype=torch.uint8)
        with _connected():
            work = distributed.all_reduce(flags, distributed.ReduceOp.MAX, async_op=True)

        def outcome() -> tuple[bool, ...]:
            with _connected():
                work.wait()
            return tuple(bool(flag) for flag in flags.tolist())

        return outcome

    def mean(self, rows: Tensor, weights: Sequence[float]) -> Tensor:
        """Rows (updates, scalars) of all processes, averaged by the weight that each had in each update."""
        if not len(weights):
            return rows
        own = torch.cat([torch.tensor(weights, dtype=torch.float64)[:, None], rows.double()], dim=1)
        parts = self._gathered(own)
        return sum((part[:, :1] * part[:, 1:] for part in parts), torch.zeros(rows.shape)).to(rows.dtype)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a number over all processes, in the order of ranks: the same bits everywhere."""
        return torch.stack(self._gathered(value.cpu())).sum(0)

    def compare(self, digest: Callable[[], bytes], what: str) -> None:
        """Raise RunError, naming `what`, unless all processes have the same 32 bytes."""
        first, *others = [bytes(part.tolist()) for part in self._gathered(torch.tensor(list(digest())))]
        if odd := [rank for rank, other in enumerate(others, 1) if other != first]:
            raise RunError(f"process {odd[0]} of {self.size} has other {what} than the first; expected the same on all")

    def _gathered(self, value: Tensor) -> list[Tensor]:
        """`value`, on the CPU, of every process."""
        parts = [torch.empty_like(value) for _ in range(self.size)]
        with _connected():
            distributed.all_gather(parts, value.contiguous())
        return parts


@contextlib.contextmanager
def join(store: distributed.Store, rank: int, size: int, local: int, device: str) -> Iterator[Group]:
    """Meet all processes that use `store`, and be one of them while the block runs; `device` is that of the config."""
    gpu = devices.choose(device).type == "cuda"
    if gpu:
        _take_gpu(local)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    with _connected():
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    lost = False
    try:
        yield Group(rank, size, local)
    except Lost:
        lost = True
        raise
    finally:
        if not (lost and gpu):  # NCCL would wait for the lost process; this one ends soon
            distributed.destroy_process_group()


def _take_gpu(number: int) -> None:
    """Make GPU `number` of this node ours; raises RunError when there are fewer."""
    if number >= (count := torch.cuda.device_count()):
        raise RunError(f"training.gpus: {count} GPUs on {socket.gethostname()}; expected at least {number + 1}")
    torch.cuda.set_device(number)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """What torch says of a broken connection is Lost."""
    try:
        yield
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "")[:160]
        raise Lost(f"a process of this training is lost: {reason}") from error
