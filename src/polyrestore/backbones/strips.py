"""Blocks of :class:`~polyrestore.backbones.compact.Compact` in strips of rows, without gradients.

The same sums as in the block's ``forward``, in an order that suits a CPU. Scale and offset of a normalisation
and the context's attention are in the weights of the 1x1 convolutions, which are products of matrices over
(pixels, channels). What lies between the layers of a block is made strip by strip, so that it never leaves
the processor's cache, and no row is made twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STRIP_VALUES = 500_000
"""How many values the widest features of a strip have; 2 MB."""


@dataclass(frozen=True)
class BlockWeights:
    """A block's weights under one context. Matrices are (in, out), channels C.

    Attributes:
        widen: (C, 2C) and (2C,), behind the first normalisation.
        spread: (2C, 1, 3, 3) and (2C,), the depthwise convolution.
        narrow: (C, C) and (C,), behind its gate.
        widen_again: (C, 2C) and (2C,), behind the second normalisation.
        narrow_again: (C, C) and (C,), behind its gate.
        eps: of both normalisations.
    """

    widen: tuple[Tensor, Tensor]
    spread: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]
    widen_again: tuple[Tensor, Tensor]
    narrow_again: tuple[Tensor, Tensor]
    eps: float


def run_in_strips(weights: BlockWeights, features: Tensor) -> Tensor:
    """Return what the block makes of (1, C, H, W); features that are channels last are changed in place."""
    features = features.contiguous(memory_format=torch.channels_last)
    rows = features[0].permute(1, 2, 0)
    height, width, channels = rows.shape
    strip = min(height, max(2, STRIP_VALUES // (2 * channels * width)))
    # The row above the strip, the strip, and the row below; zeros where there is none.
    inner = rows.new_zeros(strip + 2, width, 2 * channels)
    _widen(weights, rows[:1], inner[1:2])
    for start in range(0, height, strip):
        stop = min(start + strip, height)
        count, below = stop - start, min(stop + 1, height)
        _widen(weights, rows[start + 1 : below], inner[2 : below - start + 1])
        if stop == height:
            inner[count + 1].zero_()
        image = inner[: count + 2].unsqueeze(0).permute(0, 3, 1, 2)
        spread = functional.conv2d(image, *weights.spread, padding=(0, 1), groups=2 * channels)
        # Rows below this strip have been read already, so that these may change.
        here = rows[start:stop].view(-1, channels)
        _add(weights.narrow, spread[0].permute(1, 2, 0).reshape(-1, 2 * channels), here)
        normal = functional.layer_norm(here, (channels,), eps=weights.eps)
        matrix, bias = weights.widen_again
        _add(weights.narrow_again, torch.mm(normal, matrix).add_(bias), here)
        inner[:2] = inner[count : count + 2].clone()
    return features


def _widen(weights: BlockWeights, rows: Tensor, out: Tensor) -> None:
    channels = rows.shape[2]
    matrix, bias = weights.widen
    normal = functional.layer_norm(rows, (channels,), eps=weights.eps).view(-1, channels)
    torch.mm(normal, matrix, out=out.view(-1, 2 * channels)).add_(bias)


def _add(narrow: tuple[Tensor, Tensor], wide: Tensor, target: Tensor) -> None:
    first, second = wide.chunk(2, dim=1)
    matrix, bias = narrow
    target.addmm_(first * second, matrix).add_(bias)
