"""The default backbone: a small U-Net of NAFNet-like blocks with a global branch.

It departs from NAFNet (Chen et al., ECCV 2022, arXiv 2204.04676) where a photograph has to be cut into tiles.
NAFNet's channel attention averages the feature maps of whatever it is given, so that tiles of one photograph
disagree. Here one vector is computed once from a thumbnail of the whole image; it scales the channels of
every block and sets a tone curve that undoes the global part of a degradation (darkness, veil, colour cast).
Everything else is local, so tiles with enough overlap equal the untiled result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, Backbone, BackboneDescription, layers_in
from polyrestore.backbones.bounds import (
    BLOCKS,
    BLOCKS_BY_LEVEL,
    CHANNELS,
    CONTEXT_DIM,
    SHUFFLE,
    WholeNumber,
)
from polyrestore.backbones.layers import (
    COLOUR_LEVELS,
    ChannelNorm,
    SimpleGate,
    colour_levels,
)
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.backbones.veil import VEIL_DIM, Veil, veil_at

THUMBNAIL_PX = 64
RESIDUAL_SCALE = 0.1


class CompactBlock(nn.Module):
    """A NAFNet block whose channel attention comes from the global context instead of a feature mean."""

    def __init__(self, width: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width, eps=1e-6)
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Linear(context_dim, width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.norm2 = ChannelNorm(width, eps=1e-6)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.gate = SimpleGate()
        # NAFNet scales both branches by learned vectors; the convolutions before them can do that for free.
        for last in (self.conv3, self.conv5):
            with torch.no_grad():
                last.weight.mul_(RESIDUAL_SCALE)
                cast(Tensor, last.bias).mul_(RESIDUAL_SCALE)
        nn.init.zeros_(self.attention.weight)
        nn.init.ones_(self.attention.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a context of (B, D)."""
        inner = self.gate(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.conv3(inner * self.attention(context)[:, :, None, None])
        result: Tensor = features + self.conv5(self.gate(self.conv4(self.norm2(features))))
        return result


class ContextEncoder(nn.Module):
    """Encode a thumbnail of the whole image, and its colour statistics, into one vector."""

    def __init__(self, context_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 96, 3, stride=2, padding=1)
        self.linear1 = nn.Linear(96 * 2 + COLOUR_LEVELS, 2 * context_dim)
        self.linear2 = nn.Linear(2 * context_dim, context_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Map whole images (B, 3, H, W) in [0, 1] to (B, D)."""
        thumbnail = functional.adaptive_avg_pool2d(image, THUMBNAIL_PX)
        features = functional.gelu(self.conv1(thumbnail * 2 - 1))
        features = functional.gelu(self.conv2(features))
        features = functional.gelu(self.conv3(features)).flatten(2)
        pooled = torch.cat([features.mean(2), features.amax(2), colour_levels(thumbnail)], dim=1)
        return functional.gelu(self.linear2(functional.gelu(self.linear1(pooled))))


class ToneCurve(nn.Module):
    """Per-channel power and gain, predicted from the context; the identity before training.

    y = gain * x ** power + offset with gain = exp(4 a), power = exp(b), offset = c: enough for a dark or
    veiled photograph, and the local network starts from there.
    """

    def __init__(self, context_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context_dim, 9)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, image: Tensor, context: Tensor) -> Tensor:
        """Map (B, 3, H, W) under a context of (B, D) to the same shape."""
        gain, power, offset = self.linear(context)[:, :, None, None].chunk(3, dim=1)
        gain = torch.exp(4 * torch.tanh(gain))
        power = torch.exp(torch.tanh(power))
        toned: Tensor = gain * image.clamp(1e-3, 1.0) ** power + offset
        return toned


class Compact(Backbone):
    """U-Net of :class:`CompactBlock` with additive skips and an input residual.

    Args:
        width: channels at full resolution; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem; 2 makes the first level half the resolution.
        veil_width: width of the network that estimates a veil of haze, see :class:`Veil`; 0 for none.
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
        "veil_width": WholeNumber(0, 128),
    }

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 2),
        middle_blocks: int = 4,
        decoder_blocks: Sequence[int] = (2, 1, 1),
        context_dim: int = 64,
        shuffle: int = 1,
        veil_width: int = 0,
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
        if veil_width:
            self.options["veil_width"] = veil_width
        levels = len(encoder_blocks)
        if len(decoder_blocks) != levels:
            raise ValueError(
                f"{levels} encoder levels need as many decoder levels, not {len(decoder_blocks)}"
            )
        self.shuffle = shuffle
        self.description = BackboneDescription(
            name="compact",
            size_multiple=shuffle * 2**levels,
            minimum_size_px=shuffle * 2**levels,
            receptive_radius_px=_receptive_radius(encoder_blocks, middle_blocks, decoder_blocks, shuffle),
            global_context=True,
            dtypes=(torch.float32, torch.float16),
        )
        self.context_encoder = ContextEncoder(context_dim)
        self.tone = ToneCurve(context_dim)
        self.veil = Veil(veil_width) if veil_width else None
        pixels = 6 * shuffle**2
        self.intro = nn.Conv2d(pixels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3 * shuffle**2, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        self.decoders, self.ups = nn.ModuleList(), nn.ModuleList()

        def stage(count: int, channels: int) -> nn.ModuleList:
            return nn.ModuleList(CompactBlock(channels, context_dim) for _ in range(count))

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
        if "context_encoder.linear1.weight" not in shapes:
            return None
        levels = range(shapes.count("downs"))
        veil = "veil.estimator.intro.weight"
        return PublishedOptions(
            {
                **({"veil_width": shapes.size(veil, 0)} if veil in shapes else {}),
                "width": shapes.size("intro.weight", 0),
                "encoder_blocks": [shapes.count(f"encoders.{level}") for level in levels],
                "middle_blocks": shapes.count("middle"),
                "decoder_blocks": [shapes.count(f"decoders.{level}") for level in levels],
                "context_dim": shapes.size("tone.linear.weight", 1),
                # The image and its toned copy, each with as many pixels per place as the factor squared.
                "shuffle": max(1, math.isqrt(shapes.size("intro.weight", 1) // 6)),
            }
        )

    def adaptable_layers(self) -> AdaptableLayers:
        """Return every layer for updates, and the last convolution of each of a block's two branches.

        A veil's gate is for adapters that name it.
        """
        return AdaptableLayers(
            paralleled=layers_in(self, CompactBlock, ("conv3", "conv5")),
            on_request=() if self.veil is None else ("veil",),
        )

    def context(self, image: Tensor) -> Tensor:
        """Return the context (B, D) of whole images (B, 3, H, W); what is known of a veil comes last."""
        context = cast(Tensor, self.context_encoder(image))
        return context if self.veil is None else torch.cat([context, self.veil.context(image)], dim=1)

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context for one tile: a veil lies differently over each part of the image."""
        if self.veil is None:
            return context
        return torch.cat([context[:, :-VEIL_DIM], veil_at(context[:, -VEIL_DIM:], top, left)], dim=1)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole."""
        if context is None:
            context = self.context(image)
        seen = image
        if self.veil is not None:
            context, veil = context[:, :-VEIL_DIM], context[:, -VEIL_DIM:]
            seen = self.veil(image, veil)
        toned = cast(Tensor, self.tone(seen, context))
        return toned + self.correction(torch.cat([image, toned], dim=1), context)

    def correction(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the U-Net.

        Args:
            images: (B, 6, H, W), the image and its toned copy.
            context: (B, D).

        Returns:
            (B, 3, H, W), zero on average before training.
        """
        height, width = images.shape[-2:]
        features = self.pad(images)
        if self.shuffle > 1:
            features = functional.pixel_unshuffle(features, self.shuffle)
        features = features.contiguous(memory_format=torch.channels_last)
        features = self.intro(features)
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
        correction = self.ending(features)
        if self.shuffle > 1:
            correction = functional.pixel_shuffle(correction, self.shuffle)
        return cast(Tensor, correction[..., :height, :width])


def _receptive_radius(
    encoder_blocks: Sequence[int], middle_blocks: int, decoder_blocks: Sequence[int], shuffle: int
) -> int:
    """Return how far a pixel can reach: one step of its level per 3x3 convolution, and the cells of 2x2."""
    radius = middle_blocks
    for encoder, decoder in zip(reversed(encoder_blocks), decoder_blocks, strict=True):
        radius = 2 * radius + 1 + encoder + decoder
    # The first and the last convolution; then the cells of the unshuffled pixels.
    return (radius + 2) * shuffle + shuffle - 1
