"""Gradients of a batch whose examples are in several processes: sent in buckets while the backward pass goes on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["BUCKET", "Add", "Gradients", "buckets", "summed"]

BUCKET = 25 * 2**20  # bytes sent at once: few enough messages, early enough begun (Li et al. 2020, arXiv:2006.15704)

Add = Callable[[Tensor], Callable[[], None]]  # begins to sum a flat tensor over all processes; the result waits for it


class Gradients:
    """Makes every backward pass end with gradients summed over all processes by `add`, whatever the task does.

    The processes must make the same passes: the same parameters take part in each. Buckets are formed once and sent in
    their order, so that all processes send the same whatever the order in which gradients become ready. A gradient that
    a second pass adds to is summed again, which leaves what was equal before as it was if weights add up to one.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], add: Add) -> None:
        self.add = add
        self.buckets = buckets(parameters[::-1], BUCKET)  # the last layers are ready first
        self.place = {parameter: i for i, bucket in enumerate(self.buckets) for parameter in bucket}
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._take)
        self._rest()

    def _rest(self) -> None:
        """No pass is under way."""
        self.passing, self.next = False, 0  # the bucket to send
        self.ready: list[set[Tensor]] = [set() for _ in self.buckets]
        self.sent: list[Callable[[], None]] = []

    def _take(self, parameter: Tensor) -> None:
        """A gradient is ready."""
        if not self.passing:
            self.passing = True
            torch.autograd.Variable._execution_engine.queue_callback(self._finish)
        self.ready[self.place[parameter]].add(parameter)
        while self.next < len(self.buckets) and len(self.ready[self.next]) == len(self.buckets[self.next]):
            self._send()

    def _send(self) -> None:
        """Begin to sum those gradients of the next bucket that take part in the pass."""
        ready = self.ready[self.next]
        gradients = [p.grad for p in self.buckets[self.next] if p in ready and p.grad is not None]
        self.next += 1
        if gradients:
            self.sent.append(summed(gradients, self.add))

    def _finish(self) -> None:
        """The pass is over: send what is left, and wait for the sums."""
        while self.next < len(self.buckets):
            self._send()
        for wait in self.sent:
            wait()
        self._rest()


@torch.no_grad()
def summed(values: Sequence[Tensor], add: Add) -> Callable[[], None]:
    """Begin to sum `values` of one type and device over all processes; calling the result puts the sums into them."""
    flat = torch.cat([value.reshape(-1) for value in values])
    wait = add(flat)

    @torch.no_grad()
    def finish() -> None:
        wait()
        for value, part in zip(values, flat.split([value.numel() for value in values]), strict=True):
            value.copy_(part.view_as(value))

    return finish


def buckets(tensors: Sequence[Tensor], size: int) -> list[list[Any]]:
    """Neighbours of one type and device together, up to `size` bytes or a single larger one."""
    out: list[list[Any]] = []
    room, kind = 0, None
    for tensor in tensors:
        room -= tensor.numel() * tensor.element_size()
        if not out or room < 0 or kind != (tensor.dtype, tensor.device):
            out.append([])
            room, kind = size - tensor.numel() * tensor.element_size(), (tensor.dtype, tensor.device)
        out[-1].append(tensor)
    return out
