"""A plain U-Net of dense 3x3 convolutions with a global branch: no normalisation, no gate, no attention.

Dense 3x3 convolutions are what processors run nearest to their peak, and a residual block of two of them with
one ReLU is the block of EDSR (Lim et al., CVPRW 2017, arXiv 1707.02921) and DRUNet (Zhang et al., TPAMI 2021,
arXiv 2008.13751). Here one vector, computed once from a thumbnail of the whole image, shifts the features
before every ReLU and sets a tone curve, as in :mod:`polyrestore.backbones.compact`. Everything else is local,
so tiles with enough overlap equal the untiled result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, Backbone, BackboneDescription, layers_in
from polyrestore.backbones.bounds import BLOCKS, BLOCKS_BY_LEVEL, CHANNELS, CONTEXT_DIM, SHUFFLE
from polyrestore.backbones.compact import RESIDUAL_SCALE, ContextEncoder, ToneCurve
from polyrestore.backbones.shapes import PublishedOptions, Shapes


class PlainBlock(nn.Module):
    """x + conv3(relu(conv3(x) + shift)), the shift being the global context's."""

    def __init__(self, width: int, context_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.shift = nn.Linear(context_dim, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        _scale_down(self.conv2)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a context of (B, D)."""
        inner = self.conv1(features) + self.shift(context)[:, :, None, None]
        result: Tensor = features + self.conv2(functional.relu(inner, inplace=True))
        return result


class UNet(Backbone):
    """U-Net of :class:`PlainBlock` behind a pixel-unshuffle, with additive skips and an input residual.

    Args:
        width: channels at the first level; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem; 2 makes the first level half the resolution.
    """

    tiny_options = {
        "width": 8,
        "encoder_blocks": (1, 1),
        "middle_blocks": 1,
        "decoder_blocks": (1, 1),
        "context_dim": 16,
    }
    bounds = {
        "width": CHANNELS,
        "encoder_blocks": BLOCKS_BY_LEVEL,
        "middle_blocks": BLOCKS,
        "decoder_blocks": BLOCKS_BY_LEVEL,
        "context_dim": CONTEXT_DIM,
        "shuffle": SHUFFLE,
    }

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 2),
        middle_blocks: int = 4,
        decoder_blocks: Sequence[int] = (2, 1),
        context_dim: int = 96,
        shuffle: int = 2,
    ) -> None:
        super().__init__()
        self.options = {
            "width": width,
            "encoder_blocks": list(encoder_blocks),
            "middle_blocks": middle_blocks,
            "decoder_blocks": list(decoder_blocks),
            "context_dim": context_dim,
            "shuffle": shuffle,
        }
        levels = len(encoder_blocks)
        if len(decoder_blocks) != levels:
            raise ValueError(
                f"{levels} encoder levels need as many decoder levels, not {len(decoder_blocks)}"
            )
        self.shuffle = shuffle
        self.description = BackboneDescription(
            name="unet",
            size_multiple=shuffle * 2**levels,
            minimum_size_px=shuffle * 2**levels,
            receptive_radius_px=_receptive_radius(encoder_blocks, middle_blocks, decoder_blocks, shuffle),
            global_context=True,
        )
        self.overview = ContextEncoder(context_dim)
        self.tone = ToneCurve(context_dim)
        # The image and its toned copy go in.
        self.intro = nn.Conv2d(6 * shuffle**2, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3 * shuffle**2, 3, padding=1)
        _scale_down(self.ending)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        self.decoders, self.ups = nn.ModuleList(), nn.ModuleList()

        def stage(count: int, channels: int) -> nn.ModuleList:
            return nn.ModuleList(PlainBlock(channels, context_dim) for _ in range(count))

        for level, count in enumerate(encoder_blocks):
            channels = width * 2**level
            self.encoders.append(stage(count, channels))
            self.downs.append(nn.Conv2d(channels, 2 * channels, 2, stride=2))
        self.middle = stage(middle_blocks, width * 2**levels)
        for level, count in zip(reversed(range(levels)), decoder_blocks, strict=True):
            channels = width * 2**level
            self.ups.append(nn.Conv2d(2 * channels, 4 * channels, 1, bias=False))
            self.decoders.append(stage(count, channels))

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return self.ending

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the widths, the blocks of each level and the stem's factor of a state dict."""
        if "overview.linear1.weight" not in shapes:
            return None
        levels = range(shapes.count("downs"))
        return PublishedOptions(
            {
                "width": shapes.size("intro.weight", 0),
                "encoder_blocks": [shapes.count(f"encoders.{level}") for level in levels],
                "middle_blocks": shapes.count("middle"),
                "decoder_blocks": [shapes.count(f"decoders.{level}") for level in levels],
                "context_dim": shapes.size("tone.linear.weight", 1),
                "shuffle": max(1, math.isqrt(shapes.size("intro.weight", 1) // 6)),
            }
        )

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
        return toned + self._correction(torch.cat([image, toned], dim=1), context)

    def _correction(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the U-Net on the image and its toned copy, (B, 6, H, W): (B, 3, H, W)."""
        height, width = images.shape[-2:]
        features = functional.pixel_unshuffle(self.pad(images), self.shuffle)
        features = self.intro(features.contiguous(memory_format=torch.channels_last))
        skips = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            for block in cast(nn.ModuleList, blocks):
                features = block(features, context)
            skips.append(features)
            features = down(features)
        for block in self.middle:
            features = block(features, context)
        for blocks, up in zip(self.decoders, self.ups, strict=True):
            features = functional.pixel_shuffle(up(features), 2) + skips.pop()
            for block in cast(nn.ModuleList, blocks):
                features = block(features, context)
        correction = functional.pixel_shuffle(self.ending(features), self.shuffle)
        return correction[..., :height, :width]


def _scale_down(layer: nn.Conv2d) -> None:
    """Make a residual branch start small, so that a deep network starts near the identity."""
    with torch.no_grad():
        layer.weight.mul_(RESIDUAL_SCALE)
        cast(Tensor, layer.bias).mul_(RESIDUAL_SCALE)


def _receptive_radius(
    encoder_blocks: Sequence[int], middle_blocks: int, decoder_blocks: Sequence[int], shuffle: int
) -> int:
    """Return how far a pixel can reach: one step of its level per 3x3 convolution, and the cells of 2x2."""
    radius = 2 * middle_blocks
    for encoder, decoder in zip(reversed(encoder_blocks), decoder_blocks, strict=True):
        radius = 2 * radius + 1 + 2 * (encoder + decoder)
    # The first and the last convolution; then the cells of the unshuffled pixels.
    return (radius + 2) * shuffle + shuffle - 1
