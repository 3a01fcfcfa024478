"""NAFNet, the network without activation functions (Chen et al., ECCV 2022, arXiv 2204.04676)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polyrestore.backbones.base import AdaptableLayers, BackboneDescription, layers_in
from polyrestore.backbones.bounds import LIMIT_PX
from polyrestore.backbones.layers import ChannelNorm, SimpleGate
from polyrestore.backbones.levels import (
    LEVEL_BOUNDS,
    level_options,
    level_options_of,
    levels_radius_px,
    make_levels,
    walk_levels,
)
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.backbones.statistics import LocalStatistics, Statistics, StatisticsBackbone

# Feature maps at full resolution that a block holds at once: measured.
_FLOATS_PER_CHANNEL = 6


class NAFBlock(nn.Module):
    """Gated convolutions with simplified channel attention, then a gated feed-forward (section 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.norm1 = ChannelNorm(width, eps=1e-6)
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.gate = SimpleGate()
        # The first place is the pooling's in published checkpoints; here the statistics do it.
        self.sca = nn.Sequential(nn.Identity(), nn.Conv2d(width, width, 1))
        self.conv3 = nn.Conv2d(width, width, 1)
        self.norm2 = ChannelNorm(width, eps=1e-6)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        inner = self.gate(self.conv2(self.conv1(self.norm1(features))))
        inner = inner * self.sca(statistics.mean(inner))
        features = features + self.conv3(inner) * self.beta
        result: Tensor = features + self.conv5(self.gate(self.conv4(self.norm2(features)))) * self.gamma
        return result


class NAFNet(StatisticsBackbone):
    """U-Net of :class:`NAFBlock` with additive skips and an input residual (arXiv 2204.04676).

    Published layouts: encoder (1, 1, 1, 28), 1 in the middle, decoder (1, 1, 1, 1) for deblurring; encoder
    (2, 2, 4, 8), 12 in the middle, decoder (2, 2, 2, 2) for denoising; each of width 32 and of width 64.

    Args:
        width: channels at full resolution; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        local_window_px: where above 0, channel attention sees the means over windows of this size instead of
            the whole image, as the published NAFNet-local does at test time to meet what it saw in training
            (TLC, Chu et al., ECCV 2022, arXiv 2112.04491): 384 for networks trained on patches of 256 px.
            Windows are never larger than the image. Tiles then only come near to the whole.
        context_limit_px: see :class:`StatisticsBackbone`.
    """

    padding_mode = "constant"

    tiny_options = {"width": 4, "encoder_blocks": (1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1)}
    bounds = {**LEVEL_BOUNDS, "local_window_px": LIMIT_PX, "context_limit_px": LIMIT_PX}

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        local_window_px: int = 0,
        context_limit_px: int = 0,
    ) -> None:
        super().__init__(_FLOATS_PER_CHANNEL * width, context_limit_px)
        counts = encoder_blocks, middle_blocks, decoder_blocks
        self.options = level_options(width, *counts) | {
            "local_window_px": local_window_px,
            "context_limit_px": context_limit_px,
        }
        self.local_window_px = local_window_px
        multiple = 2 ** len(encoder_blocks)
        self.description = BackboneDescription(
            name="nafnet",
            size_multiple=multiple,
            minimum_size_px=multiple,
            receptive_radius_px=levels_radius_px(*counts) + local_window_px // 2,
            global_context=not local_window_px,
            exact_tiles=not local_window_px,
        )
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        levels = make_levels(width, *counts, NAFBlock)
        self.encoders, self.downs, self.decoders = levels.encoders, levels.downs, levels.decoders
        # In published checkpoints the pixel-shuffle is a layer behind each of these convolutions.
        self.ups = nn.ModuleList(nn.Sequential(up, nn.PixelShuffle(2)) for up in levels.ups)
        self.middle_blks = levels.middle

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return self.ending

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the width, and the blocks of each level, of a published state dict."""
        if "intro.weight" not in shapes or not shapes.count("middle_blks"):
            return None
        return PublishedOptions(level_options_of(shapes, "middle_blks"))

    def adaptable_layers(self) -> AdaptableLayers:
        """Return the 1x1 convolutions of the blocks, and the last one of each of their two branches."""
        return AdaptableLayers(
            updated=layers_in(self, NAFBlock, ("conv1", "sca.1", "conv3", "conv4", "conv5")),
            paralleled=layers_in(self, NAFBlock, ("conv3", "conv5")),
        )

    def context(self, image: Tensor) -> Tensor:
        """Return the statistics (B, D) of whole images (B, 3, H, W), or (B, 0) where they are local."""
        return image.new_zeros(len(image), 0) if self.local_window_px else super().context(image)

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""
        return context if self.local_window_px else super().context_at(context, top, left)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole.

        Raises:
            BackboneError: the context does not belong to this network.
        """
        return super().forward(image, None if self.local_window_px else context)

    def _statistics(self, padded: Tensor) -> Statistics:
        if not self.local_window_px:
            return super()._statistics(padded)
        return LocalStatistics(self.local_window_px, padded.shape[-2])

    def _restore(self, padded: Tensor, statistics: Statistics) -> Tensor:
        features = self.intro(padded.contiguous(memory_format=torch.channels_last))
        features = walk_levels(
            features, statistics, self.encoders, self.downs, self.middle_blks, self.ups, self.decoders
        )
        return cast(Tensor, self.ending(features) + padded)
