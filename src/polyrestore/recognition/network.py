"""A small network that turns a photograph of any size into one embedding of what is wrong with it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.bounds import CHANNELS
from polyrestore.backbones.layers import COLOUR_LEVELS, ChannelNorm, colour_levels
from polyrestore.recognition.base import BaseRecogniser

PATCH_PX = 128
GRID = 3
THUMBNAIL_PX = 64


class Recogniser(BaseRecogniser):
    """Embed images by their texture at full resolution and their look as a whole.

    Noise, compression and blur show in the finest detail, so a grid of patches is cut at full resolution;
    haze and darkness show in a thumbnail. Both are pooled, so the size of the image does not matter. Outside
    training an image is embedded together with its three mirror images, whose mean errs less.

    Args:
        width: channels of the first convolution.
        dimension: length of the embedding.
    """

    kind: ClassVar[str] = "network"
    bounds = {"width": CHANNELS, "dimension": CHANNELS}

    def __init__(self, width: int = 32, dimension: int = 64) -> None:
        super().__init__()
        self.options = {"width": width, "dimension": dimension}
        self.dimension = dimension
        widths = (width, 2 * width, 3 * width, 4 * width)
        self.local = _convolutions(6, widths)
        self.whole = _convolutions(3, widths[:3])
        features = 2 * widths[3] + 2 * widths[2] + COLOUR_LEVELS
        self.hidden = nn.Linear(features, 4 * width)
        self.output = nn.Linear(4 * width, dimension)

    def embed(self, image: Tensor) -> Tensor:
        """Return unit vectors (B, D) for whole images (B, 3, H, W), RGB in [0, 1]."""
        if self.training:
            return self._embed_view(image)
        views = (image, image.flip(3), image.flip(2), image.flip(2, 3))
        return functional.normalize(torch.stack([self._embed_view(view) for view in views]).sum(0), dim=1)

    def _embed_view(self, image: Tensor) -> Tensor:
        count = image.shape[0]
        patches = _patches(image)
        detail = (patches - functional.avg_pool2d(patches, 3, 1, 1, count_include_pad=False)) * 8
        local = self.local(torch.cat([patches * 2 - 1, detail.clamp(-2, 2)], 1)).flatten(2)
        means = local.mean(2).view(-1, count, local.shape[1]).mean(0)
        peaks = local.amax(2).view(-1, count, local.shape[1]).amax(0)
        thumbnail = functional.adaptive_avg_pool2d(image, THUMBNAIL_PX)
        whole = self.whole(thumbnail * 2 - 1).flatten(2)
        levels = colour_levels(thumbnail)
        pooled = torch.cat([means, peaks, whole.mean(2), whole.amax(2), levels], 1)
        vector = self.output(functional.gelu(self.hidden(pooled)))
        return functional.normalize(vector.float(), dim=1)


def _convolutions(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), ChannelNorm(width), nn.GELU()]
        channels = width
    layers += [nn.Conv2d(channels, channels, 3, padding=1), ChannelNorm(channels), nn.GELU()]
    return nn.Sequential(*layers)


def _patches(image: Tensor) -> Tensor:
    """Cut an even grid of full-resolution patches: (B, 3, H, W) to (N * B, 3, h, w), patch by patch."""
    height, width = image.shape[-2:]
    tall, wide = min(height, PATCH_PX), min(width, PATCH_PX)
    tops = _starts(height, tall)
    lefts = _starts(width, wide)
    cut = [image[..., top : top + tall, left : left + wide] for top in tops for left in lefts]
    patches = torch.cat(cut)
    if min(tall, wide) < 16:
        padding = (0, max(0, 16 - wide), 0, max(0, 16 - tall))
        patches = functional.pad(patches, padding, mode="replicate")
    return patches


def _starts(length: int, patch: int) -> list[int]:
    """Return up to ``GRID`` evenly spread starts of patches along one side."""
    count = min(GRID, max(1, round(length / patch)))
    if count == 1:
        return [(length - patch) // 2]
    return [round(index * (length - patch) / (count - 1)) for index in range(count)]
