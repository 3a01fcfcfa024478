"""PromptIR, Restormer with learned prompts (Potlapalli et al., NeurIPS 2023, arXiv 2306.13090)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, layers_in
from polyrestore.backbones.bounds import CHANNELS, WholeNumber, WholeNumbers
from polyrestore.backbones.restormer import LEVELS, RestormerTrunk
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.backbones.statistics import Statistics, Window
from polyrestore.backbones.transposed import Resample, TransformerBlock
from polyrestore.errors import BackboneError

PROMPTS = 5
_IDLE_WIDTHS = (64, 128, 256)


class PromptBlock(nn.Module):
    """Learned maps, mixed by weights from the features' mean and stretched over the image (section 3.1)."""

    def __init__(self, width: int, size: int, features_width: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, PROMPTS, width, size, size))
        self.linear_layer = nn.Linear(features_width, PROMPTS)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, features: Tensor, statistics: Statistics, scale: int) -> Tensor:
        """Return the prompt (B, D, H, W) for features (B, C, H, W) at 1 / ``scale`` of the image's size."""
        weights = self.linear_layer(statistics.mean(features).flatten(1)).softmax(dim=1)
        prompt = (weights[:, :, None, None, None] * self.prompt_param).sum(dim=1)
        height, width = features.shape[-2:]
        if statistics.window is None:
            stretched = functional.interpolate(prompt, (height, width), mode="bilinear")
            return cast(Tensor, self.conv3x3(stretched))
        # The prompt is stretched over the whole image: a tile gets its part, and a pixel more for the kernel.
        part = stretched_part(prompt, statistics.window, (height, width), scale)
        return cast(Tensor, self.conv3x3(part))[..., 1:-1, 1:-1]


def stretched_part(prompt: Tensor, window: Window, size: tuple[int, int], scale: int) -> Tensor:
    """Stretch a prompt over a whole image, bilinearly, and return one window of it and a border of one pixel.

    Args:
        prompt: (B, D, S, S).
        window: where the tile lies, in pixels of the padded image.
        size: height and width of the tile's features.
        scale: pixels per feature.

    Returns:
        (B, D, height + 2, width + 2); zero outside the image, like the padding of a convolution.
    """
    rows = _interpolation(
        prompt, prompt.shape[-2], window.image_height // scale, window.top // scale, size[0]
    )
    columns = _interpolation(
        prompt, prompt.shape[-1], window.image_width // scale, window.left // scale, size[1]
    )
    return rows @ prompt @ columns.transpose(0, 1)


def _interpolation(like: Tensor, source: int, target: int, start: int, count: int) -> Tensor:
    """Return the matrix (count + 2, source) that interpolates from ``start - 1`` among ``target`` places."""
    places = torch.arange(start - 1, start + count + 1, device=like.device)
    centres = ((places + 0.5) * (source / target) - 0.5).clamp(0, source - 1)
    distances = (centres[:, None] - torch.arange(source, device=like.device)).abs()
    inside = (places >= 0) & (places < target)
    return ((1 - distances).clamp_min(0) * inside[:, None]).to(like.dtype)


class PromptIR(RestormerTrunk):
    """Restormer with a prompt, and a block that reads it, before each step up (arXiv 2306.13090).

    The prompts are stretched over the whole image, so a tile has to know its place: callers pass
    ``context_at(context, top, left)``.

    Args:
        dim: channels at full resolution; they double with each of the four levels.
        blocks: blocks per level, the same in the encoder and the decoder; the last is the lowest resolution.
        refinement_blocks: blocks after the decoder, at full resolution.
        heads: attention heads per level.
        expansion: hidden channels of the feed-forward network, relative to its width.
        norm_bias: the layer normalisation with mean and bias, as published.
        prompt_widths: channels of the prompts at half, quarter and eighth resolution.
        prompt_sizes: their sides.
        context_limit_px: see :class:`StatisticsBackbone`.
    """

    tiny_options = {
        "dim": 4,
        "blocks": (1, 1, 1, 1),
        "refinement_blocks": 1,
        "heads": (1, 2, 2, 4),
        "prompt_widths": (2, 4, 6),
        "prompt_sizes": (6, 5, 4),
    }
    bounds = {
        **RestormerTrunk.bounds,
        "prompt_widths": WholeNumbers(CHANNELS, LEVELS - 1, LEVELS - 1),
        "prompt_sizes": WholeNumbers(WholeNumber(1, 1024), LEVELS - 1, LEVELS - 1),
    }

    def __init__(
        self,
        dim: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm_bias: bool = True,
        prompt_widths: Sequence[int] = (64, 128, 320),
        prompt_sizes: Sequence[int] = (64, 32, 16),
        context_limit_px: int = 0,
    ) -> None:
        super().__init__(
            "promptir",
            dim,
            blocks,
            refinement_blocks,
            heads,
            expansion,
            norm_bias,
            context_limit_px,
            prompt_blocks=1,
        )
        self.options |= {"prompt_widths": list(prompt_widths), "prompt_sizes": list(prompt_sizes)}
        # What goes in is the features below the step up, what comes out is their width after the trunk's own.
        for level, incoming, outgoing in (
            (1, 2 * dim, 2 * dim),
            (2, 4 * dim, 4 * dim),
            (3, 8 * dim, 4 * dim),
        ):
            width = prompt_widths[level - 1]
            joined = incoming + width
            block = TransformerBlock(joined, heads[2], expansion, norm_bias)
            self.add_module(f"prompt{level}", PromptBlock(width, prompt_sizes[level - 1], incoming))
            self.add_module(f"noise_level{level}", block)
            self.add_module(f"reduce_noise_level{level}", nn.Conv2d(joined, outgoing, 1, bias=False))
            # Published checkpoints hold two more convolutions per level, which nothing uses.
            idle, below = _IDLE_WIDTHS[level - 1], dim * 2 ** (level - 1)
            self.add_module(f"chnl_reduce{level}", nn.Conv2d(width, idle, 1, bias=False))
            self.add_module(f"reduce_noise_channel_{level}", nn.Conv2d(below + idle, below, 1, bias=False))
        self.up4_3 = Resample(4 * dim, up=True)
        self.reduce_chan_level3 = nn.Conv2d(6 * dim, 4 * dim, 1, bias=False)

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the trunk's options, and the prompts' widths and sizes."""
        if "reduce_noise_level1.weight" in shapes and "prompt1.prompt_param" not in shapes:
            raise BackboneError(
                "is the one without decoder prompts, which the published code cannot run either, since its "
                "lowest level has twice the channels that the way up takes; take a checkpoint with prompts"
            )
        trunk = super().published_options(shapes) if "prompt1.prompt_param" in shapes else None
        if trunk is None:
            return None
        prompts = [f"prompt{level}.prompt_param" for level in range(1, LEVELS)]
        sizes = {
            "prompt_widths": [shapes.size(key, 2) for key in prompts],
            "prompt_sizes": [shapes.size(key, 3) for key in prompts],
        }
        return PublishedOptions({**trunk.options, **sizes})

    def adaptable_layers(self) -> AdaptableLayers:
        """Return those of the trunk, and the linear layers that mix the prompts."""
        trunk = super().adaptable_layers()
        levels = range(1, LEVELS)
        idle = [name for level in levels for name in (f"chnl_reduce{level}", f"reduce_noise_channel_{level}")]
        prompts = layers_in(self, PromptBlock, ("linear_layer",))
        return replace(trunk, updated=(*(trunk.updated or ()), *prompts), idle=tuple(idle))

    def _prompted(self, features: Tensor, level: int, statistics: Statistics) -> Tensor:
        prompt = self.get_submodule(f"prompt{level}")(features, statistics, 2**level)
        joined = torch.cat([features, prompt], dim=1)
        joined = self.get_submodule(f"noise_level{level}")(joined, statistics)
        return cast(Tensor, self.get_submodule(f"reduce_noise_level{level}")(joined))
