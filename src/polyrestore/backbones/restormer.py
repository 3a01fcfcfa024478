"""Restormer, an efficient transformer (Zamir et al., CVPR 2022, arXiv 2111.09881)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polyrestore.backbones.base import AdaptableLayers, BackboneDescription, layers_in
from polyrestore.backbones.bounds import (
    BLOCKS,
    CHANNELS,
    HEADS,
    LIMIT_PX,
    MOST_BLOCKS,
    Number,
    Switch,
    WholeNumber,
    WholeNumbers,
)
from polyrestore.backbones.shapes import PublishedOptions, Shapes, shortest_factor
from polyrestore.backbones.statistics import Statistics, StatisticsBackbone
from polyrestore.backbones.transposed import PatchEmbed, Resample, TransformerBlock
from polyrestore.errors import BackboneError

LEVELS = 4
RGB, GREY = 3, 1
_STEPS_PER_BLOCK = 2


class RestormerTrunk(StatisticsBackbone):
    """The U-Net that Restormer is and that PromptIR builds on; see :class:`Restormer` for the options."""

    padding_mode = "reflect"
    bounds = {
        "dim": CHANNELS,
        "blocks": WholeNumbers(WholeNumber(1, MOST_BLOCKS), LEVELS, LEVELS),
        "refinement_blocks": BLOCKS,
        "heads": WholeNumbers(HEADS, LEVELS, LEVELS),
        "expansion": Number(0, 16),
        "norm_bias": Switch(),
        "context_limit_px": LIMIT_PX,
    }
    # The only layers whose widths differ between the two.
    up4_3: Resample
    reduce_chan_level3: nn.Conv2d

    def __init__(
        self,
        name: str,
        dim: int,
        blocks: Sequence[int],
        refinement_blocks: int,
        heads: Sequence[int],
        expansion: float,
        norm_bias: bool,
        context_limit_px: int,
        prompt_blocks: int = 0,
        conv_bias: bool = False,
        colours: int = RGB,
    ) -> None:
        super().__init__(_floats_per_px(dim, expansion), context_limit_px)
        self.options = {
            "dim": dim,
            "blocks": list(blocks),
            "refinement_blocks": refinement_blocks,
            "heads": list(heads),
            "expansion": expansion,
            "norm_bias": norm_bias,
            "context_limit_px": context_limit_px,
        }
        self.description = BackboneDescription(
            name=name,
            size_multiple=2 ** (LEVELS - 1),
            minimum_size_px=2 ** (LEVELS - 1),
            receptive_radius_px=_receptive_radius(blocks, refinement_blocks, prompt_blocks),
            global_context=True,
        )

        def stage(count: int, width: int, level: int) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(width, heads[level], expansion, norm_bias, conv_bias) for _ in range(count)
            )

        self.patch_embed = PatchEmbed(colours, dim)
        self.encoder_level1 = stage(blocks[0], dim, 0)
        self.down1_2 = Resample(dim, up=False)
        self.encoder_level2 = stage(blocks[1], 2 * dim, 1)
        self.down2_3 = Resample(2 * dim, up=False)
        self.encoder_level3 = stage(blocks[2], 4 * dim, 2)
        self.down3_4 = Resample(4 * dim, up=False)
        self.latent = stage(blocks[3], 8 * dim, 3)
        self.decoder_level3 = stage(blocks[2], 4 * dim, 2)
        self.decoder_level2 = stage(blocks[1], 2 * dim, 1)
        self.decoder_level1 = stage(blocks[0], 2 * dim, 0)
        self.refinement = stage(refinement_blocks, 2 * dim, 0)
        self.up3_2 = Resample(4 * dim, up=True)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=conv_bias)
        self.up2_1 = Resample(2 * dim, up=True)
        self.output = nn.Conv2d(2 * dim, colours, 3, padding=1, bias=conv_bias)

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the width, blocks, heads, expansion and kind of normalisation of a published state dict."""
        if "patch_embed.proj.weight" not in shapes or "latent.0.attn.temperature" not in shapes:
            return None
        if "skip_conv.weight" in shapes:
            raise BackboneError(
                "is the dual-pixel one, which makes a photograph of a dual-pixel sensor's two views; here "
                "there is one image: take the Restormer for single-image defocus deblurring"
            )
        stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]
        feed_forwards = [f"{stage}.0.ffn.project_out.weight" for stage in stages]
        widths = [shapes.size(key, 0) for key in feed_forwards]
        return PublishedOptions(
            {
                "dim": shapes.size("patch_embed.proj.weight", 0),
                "blocks": [shapes.count(stage) for stage in stages],
                "refinement_blocks": shapes.count("refinement"),
                "heads": [shapes.size(f"{stage}.0.attn.temperature", 0) for stage in stages],
                "expansion": shortest_factor(widths, [shapes.size(key, 1) for key in feed_forwards]),
                "norm_bias": "latent.0.norm1.body.bias" in shapes,
            }
        )

    def adaptable_layers(self) -> AdaptableLayers:
        """Return the 1x1 convolutions of the blocks, and the last one of each of their two branches."""
        names = ("attn.qkv", "attn.project_out", "ffn.project_in", "ffn.project_out")
        return AdaptableLayers(
            updated=layers_in(self, TransformerBlock, names),
            paralleled=layers_in(self, TransformerBlock, ("attn.project_out", "ffn.project_out")),
        )

    def _prompted(self, features: Tensor, level: int, statistics: Statistics) -> Tensor:
        """Return what goes up from ``level`` (3 at the lowest resolution, then 2 and 1)."""
        return features

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return self.output

    def _restore(self, padded: Tensor, statistics: Statistics) -> Tensor:
        def run(blocks: nn.ModuleList, features: Tensor) -> Tensor:
            for block in blocks:
                features = block(features, statistics)
            return features

        level1 = run(self.encoder_level1, self.patch_embed(padded))
        level2 = run(self.encoder_level2, self.down1_2(level1))
        level3 = run(self.encoder_level3, self.down2_3(level2))
        features = run(self.latent, self.down3_4(level3))
        features = self.up4_3(self._prompted(features, 3, statistics))
        features = self.reduce_chan_level3(torch.cat([features, level3], dim=1))
        features = run(self.decoder_level3, features)
        features = self.up3_2(self._prompted(features, 2, statistics))
        features = self.reduce_chan_level2(torch.cat([features, level2], dim=1))
        features = run(self.decoder_level2, features)
        features = self.up2_1(self._prompted(features, 1, statistics))
        features = run(self.decoder_level1, torch.cat([features, level1], dim=1))
        return cast(Tensor, self.output(run(self.refinement, features)) + padded)


class Restormer(RestormerTrunk):
    """U-Net of transformer blocks that attend across channels (arXiv 2111.09881).

    Args:
        dim: channels at full resolution; they double with each of the four levels.
        blocks: blocks per level, the same in the encoder and the decoder; the last is the lowest resolution.
        refinement_blocks: blocks after the decoder, at full resolution.
        heads: attention heads per level.
        expansion: hidden channels of the feed-forward network, relative to its width.
        norm_bias: the layer normalisation with mean and bias; the denoising checkpoints have it without.
        conv_bias: biases in the blocks' convolutions and the last ones; no published checkpoint has them.
        colours: 3, or 1 for a network of grey images (the published grey denoisers), which then restores red,
            green and blue one after the other.
        context_limit_px: see :class:`StatisticsBackbone`.
    """

    tiny_options = {"dim": 4, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 2, 2, 4)}
    bounds = {**RestormerTrunk.bounds, "conv_bias": Switch(), "colours": WholeNumber(GREY, RGB)}

    def __init__(
        self,
        dim: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm_bias: bool = True,
        conv_bias: bool = False,
        colours: int = RGB,
        context_limit_px: int = 0,
    ) -> None:
        super().__init__(
            "restormer",
            dim,
            blocks,
            refinement_blocks,
            heads,
            expansion,
            norm_bias,
            context_limit_px,
            conv_bias=conv_bias,
            colours=colours,
        )
        if colours not in (GREY, RGB):
            raise ValueError(f"colours must be {GREY} or {RGB}, not {colours}")
        self.options |= {"conv_bias": conv_bias, "colours": colours}
        self.colours = colours
        self.up4_3 = Resample(8 * dim, up=True)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=conv_bias)

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the trunk's options, the number of colours, and whether its convolutions have biases."""
        # PromptIR's own part, which also its variant without prompts has.
        if "reduce_noise_level1.weight" in shapes:
            return None
        trunk = super().published_options(shapes)
        if trunk is None:
            return None
        colours = shapes.size("patch_embed.proj.weight", 1), shapes.size("output.weight", 0)
        if colours not in ((GREY, GREY), (RGB, RGB)):
            raise BackboneError(
                f"takes {colours[0]} channels and gives {colours[1]}: only networks of RGB or grey images "
                "can be used"
            )
        own = {"conv_bias": "latent.0.attn.qkv.bias" in shapes, "colours": colours[0]}
        return PublishedOptions({**trunk.options, **own})

    def context(self, image: Tensor) -> Tensor:
        """Return the statistics (B, D) of whole images (B, 3, H, W), colour after colour where it is grey."""
        if self.colours == RGB:
            return super().context(image)
        return torch.cat(
            [super(Restormer, self).context(colour) for colour in image.chunk(RGB, dim=1)], dim=1
        )

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""
        if self.colours == RGB:
            return super().context_at(context, top, left)
        parts = context.tensor_split(RGB, dim=1)
        return torch.cat([super(Restormer, self).context_at(part, top, left) for part in parts], dim=1)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole.

        Raises:
            BackboneError: the context does not belong to this network.
        """
        if self.colours == RGB:
            return super().forward(image, context)
        colours = image.chunk(RGB, dim=1)
        contexts = [None] * RGB if context is None else context.tensor_split(RGB, dim=1)
        restored = [
            super(Restormer, self).forward(colour, own) for colour, own in zip(colours, contexts, strict=True)
        ]
        return torch.cat(restored, dim=1)


def _floats_per_px(dim: int, expansion: float) -> int:
    """Return what the decoder's blocks at full resolution hold at once, for each pixel: measured.

    Either the feed-forward network's halves before and after its convolution, or queries, keys and values
    before and after theirs; and beside them the features, and what is kept for later.
    """
    return 9 * dim + max(4 * int(2 * dim * expansion), 10 * dim)


def _receptive_radius(blocks: Sequence[int], refinement_blocks: int, prompt_blocks: int) -> int:
    """Return the reach of a pixel: one step of its level per 3x3 convolution, and the cells in between."""
    count = [2 * blocks[0] + refinement_blocks, 2 * blocks[1], 2 * blocks[2], blocks[3]]
    # A prompt's block stands before the way up, on each level but the first.
    count = [number + (prompt_blocks if level else 0) for level, number in enumerate(count)]
    steps = [_STEPS_PER_BLOCK * number for number in count]
    for level in range(LEVELS):
        # The convolution before the way down, and that before the way up.
        steps[level] += (level < LEVELS - 1) + (level > 0)
    first_and_last, cells = 2, 2 ** (LEVELS - 1) - 1
    radius: int = sum(number * 2**level for level, number in enumerate(steps)) + first_and_last + cells
    return radius
