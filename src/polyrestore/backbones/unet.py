"""A plain U-Net of dense 3x3 convolutions with a global branch: no normalisation, no gate, no attention.

Dense 3x3 convolutions are what processors run nearest to their peak, and a residual block of two of them with
one ReLU is the block of EDSR (Lim et al., CVPRW 2017, arXiv 1707.02921) and DRUNet (Zhang et al., TPAMI 2021,
arXiv 2008.13751). Here one vector, computed once from a thumbnail of the whole image, shifts the features
before every ReLU and sets a tone curve, as in :mod:`polyrestore.backbones.compact`. Everything else is local,
so tiles with enough overlap equal the untiled result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, layers_in
from polyrestore.backbones.context_unet import (
    ContextEncoder,
    ContextUNet,
    ToneCurve,
    context_unet_options_of,
    scale_down,
)
from polyrestore.backbones.shapes import PublishedOptions, Shapes


class PlainBlock(nn.Module):
    """x + conv3(relu(conv3(x) + shift)), the shift being the global context's."""

    def __init__(self, width: int, context_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.shift = nn.Linear(context_dim, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        scale_down(self.conv2)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a context of (B, D)."""
        inner = self.conv1(features) + self.shift(context)[:, :, None, None]
        result: Tensor = features + self.conv2(functional.relu(inner, inplace=True))
        return result


class UNet(ContextUNet):
    """U-Net of :class:`PlainBlock` behind a pixel-unshuffle, with additive skips and an input residual.

    Args:
        width: channels at the first level; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem; 2 makes the first level half the resolution.
    """

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 2),
        middle_blocks: int = 4,
        decoder_blocks: Sequence[int] = (2, 1),
        context_dim: int = 96,
        shuffle: int = 2,
    ) -> None:
        counts = encoder_blocks, middle_blocks, decoder_blocks
        super().__init__("unet", width, *counts, context_dim, shuffle, convolutions=2)
        self.overview = ContextEncoder(context_dim)
        self.tone = ToneCurve(context_dim)
        self._make_levels(width, *counts, partial(PlainBlock, context_dim=context_dim))
        scale_down(self.ending)

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the widths, the blocks of each level and the stem's factor of a state dict."""
        if "overview.linear1.weight" not in shapes:
            return None
        return PublishedOptions(context_unet_options_of(shapes))

    def adaptable_layers(self) -> AdaptableLayers:
        """Return every layer for updates, and the last convolution of each block for modules beside it."""
        return AdaptableLayers(paralleled=layers_in(self, PlainBlock, ("conv2",)))

    def context(self, image: Tensor) -> Tensor:
        """Return the context (B, D) of whole images (B, 3, H, W)."""
        return cast(Tensor, self.overview(image))

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole."""
        if context is None:
            context = self.context(image)
        toned = cast(Tensor, self.tone(image, context))
        return toned + self.correction(torch.cat([image, toned], dim=1), context)
