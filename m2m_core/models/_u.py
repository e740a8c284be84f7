"""The U that the field emulators share: blocks on levels, halvings and doublings between them, and skips across."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from . import geometry as arithmetic
from ._convolution import Layers, Styled, sequence
from ._padding import narrow

__all__ = ["U"]

FIRST, MIDDLE, LAST = "CACBA", "CBACBA", "CAC"  # a block by its place in the network, see `sequence`
START = 0.01  # of the last layers' weights: training begins beside the bypass, yet no gradient is zero


class U(nn.Module):
    """Blocks on 1 + depth levels, halvings and doublings between them, and skips from the way down to the way up.

    (B, in_channels, *n) -> (B, out_channels, *m): m = n, or n less the halo on both sides if the padding is valid; of
    styled layers (x, style (B, styles)) -> y. The order of layers is that of the published field emulators (Jamieson et
    al. 2022, arXiv:2206.04573); it is theirs exactly with 64 channels at each of three levels, batch normalisation and
    valid padding. With "zero" the coarse voxels begin at the field's corner, which valid crops of it need not do.

    block: (code, before, after, layers, gain) -> module of the layers `code`, like `sequence`
    widths: channels at each level, the finest first
    blocks: how many stand in a row at the finest level, on either side
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        in_channels: int,
        out_channels: int,
        layers: Layers,
        *,
        widths: Sequence[int],
        bypass: bool,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        if layers.dims not in (1, 2, 3):
            raise ConfigError(f"model: fields with {layers.dims} axes; expected 1, 2 or 3")
        levels = range(len(widths) - 1)
        self.geometry = arithmetic.u_shape(levels.stop, layers.padding, blocks)
        self.origin = arithmetic.origin(levels.stop, blocks=blocks) if layers.padding == "periodic" else 0
        self.bypass = bypass and in_channels == out_channels

        into, more = [in_channels, *widths], blocks - 1
        first, last = widths[0], [2 * widths[0], *[widths[0]] * more]

        def encoder(level: int) -> list[nn.Module]:
            head = block(MIDDLE if level else FIRST, into[level], widths[level], layers)
            return [head, *(block(MIDDLE, first, first, layers) for _ in range(0 if level else more))]

        def decoder(level: int) -> list[nn.Module]:
            if level:
                return [block(MIDDLE, 2 * widths[level], widths[level], layers)]
            return [*(block(MIDDLE, last[i], first, layers) for i in range(more)),
                    block(LAST, last[more], out_channels, layers, START)]  # fmt: skip

        self.encode = nn.ModuleList(_row(encoder(level), layers) for level in levels)
        self.down = nn.ModuleList(sequence("DBA", widths[i], widths[i], layers) for i in levels)
        self.centre = block(MIDDLE, widths[-2], widths[-1], layers)
        self.up = nn.ModuleList(sequence("UBA", widths[i + 1], widths[i], layers) for i in levels)
        self.decode = nn.ModuleList(_row(decoder(level), layers) for level in levels)

    def forward(self, x: Tensor, *style: Tensor) -> Tensor:
        """(B, in_channels, *n) -> (B, out_channels, *m); raises ConfigError on edges that the geometry excludes."""
        core = self.geometry.core(x.shape[2:])
        y = narrow(self._at_origin(x, *style), core)
        return y + narrow(x, core) if self.bypass else y

    def _at_origin(self, x: Tensor, *style: Tensor) -> Tensor:
        """Let the coarse voxels of a periodic box begin where those of a crop with its halo do."""
        if not self.origin:
            return self._correction(x, *style)
        axes = tuple(range(2, x.ndim))
        y = self._correction(torch.roll(x, [-self.origin] * len(axes), axes), *style)
        return torch.roll(y, [self.origin] * len(axes), axes)

    def _correction(self, x: Tensor, *style: Tensor) -> Tensor:
        skips = []
        for block, down in zip(self.encode, self.down, strict=True):
            skips.append(block(x, *style))
            x = down(skips[-1], *style)
        x = self.centre(x, *style)
        for up, block in zip(reversed(self.up), reversed(self.decode), strict=True):
            x = up(x, *style)
            x = block(torch.cat([narrow(skips.pop(), x.shape[2:]), x], dim=1), *style)
        return x


def _row(blocks: list[nn.Module], layers: Layers) -> nn.Module:
    if len(blocks) == 1:
        return blocks[0]
    return Styled(*blocks) if layers.styles else nn.Sequential(*blocks)
