"""A U-Net under one vector for the whole image, which Compact and UNet have in common.

The vector, the context, is computed once from a thumbnail of the whole image. It is handed to every block,
and sets a tone curve that undoes the global part of a degradation (darkness, veil, colour cast). Everything
else is local, so tiles with enough overlap equal the untiled result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import Backbone, BackboneDescription
from polyrestore.backbones.bounds import CONTEXT_DIM, SHUFFLE
from polyrestore.backbones.layers import COLOUR_LEVELS, average_pool, colour_levels
from polyrestore.backbones.levels import (
    LEVEL_BOUNDS,
    level_options,
    level_options_of,
    levels_radius_px,
    make_levels,
    rise,
    walk_levels,
)
from polyrestore.backbones.shapes import Shapes

THUMBNAIL_PX = 64
RESIDUAL_SCALE = 0.1


def scale_down(layer: nn.Conv2d) -> None:
    """Make a residual branch start small, so that a deep network starts near the identity."""
    with torch.no_grad():
        layer.weight.mul_(RESIDUAL_SCALE)
        cast(Tensor, layer.bias).mul_(RESIDUAL_SCALE)


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
        thumbnail = average_pool(image, THUMBNAIL_PX)
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


class ContextUNet(Backbone):
    """Levels of blocks behind a pixel-unshuffle, which correct the image and its toned copy.

    A network of this kind makes its context's encoder first and then the levels, by :meth:`_make_levels`: the
    order decides over the weights that a seed gives.

    Args:
        name: of the backbone.
        width: channels at the first level; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem; 2 makes the first level half the resolution.
        convolutions: 3x3 convolutions of a block that follow each other.
        dtypes: what the network may run in.

    Raises:
        ValueError: there are not as many decoder levels as encoder levels.
    """

    tiny_options = {
        "width": 8,
        "encoder_blocks": (1, 1),
        "middle_blocks": 1,
        "decoder_blocks": (1, 1),
        "context_dim": 16,
    }
    bounds = {**LEVEL_BOUNDS, "context_dim": CONTEXT_DIM, "shuffle": SHUFFLE}

    def __init__(
        self,
        name: str,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
        context_dim: int,
        shuffle: int,
        convolutions: int,
        dtypes: tuple[torch.dtype, ...] = (torch.float32,),
    ) -> None:
        super().__init__()
        self.core_runner: Callable[[Tensor, Tensor], Tensor] | None = None
        counts = encoder_blocks, middle_blocks, decoder_blocks
        self.options = level_options(width, *counts) | {"context_dim": context_dim, "shuffle": shuffle}
        self.shuffle = shuffle
        multiple = shuffle * 2 ** len(encoder_blocks)
        self.description = BackboneDescription(
            name=name,
            size_multiple=multiple,
            minimum_size_px=multiple,
            # Behind the levels come the cells of the unshuffled pixels.
            receptive_radius_px=levels_radius_px(*counts, convolutions) * shuffle + shuffle - 1,
            global_context=True,
            dtypes=dtypes,
        )

    def _make_levels(
        self,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
        block: Callable[[int], nn.Module],
    ) -> None:
        """Make the first and the last convolution, and the levels between them."""
        # The image and its toned copy go in.
        self.intro = nn.Conv2d(6 * self.shuffle**2, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3 * self.shuffle**2, 3, padding=1)
        levels = make_levels(width, encoder_blocks, middle_blocks, decoder_blocks, block)
        self.encoders, self.downs = levels.encoders, levels.downs
        self.decoders, self.ups = levels.decoders, levels.ups
        self.middle = levels.middle

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return self.ending

    def correction(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the levels.

        Args:
            images: (B, 6, H, W), the image and its toned copy.
            context: (B, D).

        Returns:
            (B, 3, H, W), to be added to the toned copy.
        """
        height, width = images.shape[-2:]
        run = self.core if self.core_runner is None else self.core_runner
        return run(self.pad(images), context)[..., :height, :width]

    def core(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the levels on images (B, 6, H, W) of whole multiples under a context (B, D): (B, 3, H, W)."""
        return self._walk(images, context)

    def _walk(
        self,
        images: Tensor,
        context: Tensor,
        block_runner: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        features = images
        if self.shuffle > 1:
            features = functional.pixel_unshuffle(features, self.shuffle)
        features = walk_levels(
            self.intro(features.contiguous(memory_format=torch.channels_last)),
            context,
            self.encoders,
            self.downs,
            self.middle,
            [partial(rise, up) for up in self.ups],
            self.decoders,
            block_runner,
        )
        correction = self.ending(features)
        if self.shuffle > 1:
            correction = functional.pixel_shuffle(correction, self.shuffle)
        return cast(Tensor, correction)


def context_unet_options_of(shapes: Shapes) -> dict[str, object]:
    """Read the widths, the blocks of each level and the stem's factor from the shapes of a state dict."""
    return {
        **level_options_of(shapes, "middle"),
        "context_dim": shapes.size("tone.linear.weight", 1),
        # The image and its toned copy, each with as many pixels per place as the factor squared.
        "shuffle": max(1, math.isqrt(shapes.size("intro.weight", 1) // 6)),
    }
