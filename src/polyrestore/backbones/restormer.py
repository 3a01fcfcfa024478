"""Restormer, an efficient transformer (Zamir et al., CVPR 2022, arXiv 2111.09881)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import BackboneDescription
from polyrestore.backbones.layers import ChannelNorm
from polyrestore.backbones.statistics import CONTEXT_LIMIT_PX, Statistics, StatisticsBackbone

LEVELS = 4
_STEPS_PER_BLOCK = 2


class BiasFreeNorm(nn.Module):
    """Each pixel divided by the standard deviation of its channels, whose mean is not subtracted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        variance = features.var(dim=1, correction=0, keepdim=True)
        return features * torch.rsqrt(variance + 1e-5) * self.weight[:, None, None]


class Norm(nn.Module):
    """One of the two normalisations, under the name that published checkpoints give it."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.body = ChannelNorm(width, eps=1e-5) if bias else BiasFreeNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return cast(Tensor, self.body(features))


class TransposedAttention(nn.Module):
    """Multi-head attention between channels instead of pixels (MDTA, section 3.1)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.project_out = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, features: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        queries, keys, values = (
            part.flatten(2).unflatten(1, (self.heads, -1))
            for part in self.qkv_dwconv(self.qkv(features)).chunk(3, dim=1)
        )
        attention = (statistics.cosines(queries, keys) * self.temperature).softmax(dim=-1)
        attended = (attention @ values).flatten(1, 2).unflatten(2, features.shape[-2:])
        return cast(Tensor, self.project_out(attended))


class GatedFeedForward(nn.Module):
    """Depth-wise convolution whose one half gates the other (GDFN, section 3.2)."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        gate, value = self.dwconv(self.project_in(features)).chunk(2, dim=1)
        return cast(Tensor, self.project_out(functional.gelu(gate) * value))


class TransformerBlock(nn.Module):
    """Transposed attention and a gated feed-forward network, each normalised and residual."""

    def __init__(self, width: int, heads: int, expansion: float, norm_bias: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} attention heads do not divide {width} channels")
        self.norm1 = Norm(width, norm_bias)
        self.attn = TransposedAttention(width, heads)
        self.norm2 = Norm(width, norm_bias)
        self.ffn = GatedFeedForward(width, expansion)

    def forward(self, features: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        features = features + self.attn(self.norm1(features), statistics)
        return cast(Tensor, features + self.ffn(self.norm2(features)))


class PatchEmbed(nn.Module):
    """The first convolution, from colours to features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, H, W)."""
        return cast(Tensor, self.proj(image))


class Resample(nn.Module):
    """A 3x3 convolution and a pixel shuffle: half the size and twice the channels, or the reverse."""

    def __init__(self, width: int, up: bool) -> None:
        super().__init__()
        convolution = nn.Conv2d(width, 2 * width if up else width // 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(convolution, nn.PixelShuffle(2) if up else nn.PixelUnshuffle(2))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2C, H/2, W/2), or to (B, C/2, 2H, 2W)."""
        return cast(Tensor, self.body(features))


class RestormerTrunk(StatisticsBackbone):
    """The U-Net that Restormer is and that PromptIR builds on; see :class:`Restormer` for the options."""

    padding_mode = "reflect"
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
    ) -> None:
        super().__init__(context_limit_px)
        if len(blocks) != LEVELS or len(heads) != LEVELS:
            raise ValueError(f"{LEVELS} levels need {LEVELS} numbers of blocks and heads")
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
                TransformerBlock(width, heads[level], expansion, norm_bias) for _ in range(count)
            )

        self.patch_embed = PatchEmbed(dim)
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
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=False)
        self.up2_1 = Resample(2 * dim, up=True)
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)

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
        context_limit_px: see :class:`StatisticsBackbone`.
    """

    def __init__(
        self,
        dim: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm_bias: bool = True,
        context_limit_px: int = CONTEXT_LIMIT_PX,
    ) -> None:
        super().__init__(
            "restormer", dim, blocks, refinement_blocks, heads, expansion, norm_bias, context_limit_px
        )
        self.up4_3 = Resample(8 * dim, up=True)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=False)


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
