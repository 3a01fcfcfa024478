"""Make clean photographs more varied than the training folder is, without making them damaged ones."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def vary_light(image: Tensor, share: float, generator: Generator) -> Tensor:
    """Change the light, the contrast and the colours of some clean patches as photographers do.

    Photographs with black backgrounds, burnt-out skies, warm lamps or no colour at all are clean too, but
    rare in training folders; a recogniser that has not seen them takes them for damaged ones.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        share: probability that a patch is changed.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    count = image.shape[0]

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand((count, channels, 1, 1), generator=generator)

    def sometimes(probability: float) -> Tensor:
        return torch.rand((count, 1, 1, 1), generator=generator) < probability

    black = torch.where(sometimes(0.35), draw(0, 0.35), 0)
    white = torch.where(sometimes(0.35), draw(0.7, 1), 1)
    varied = ((image - black) / (white - black)).clamp(0, 1)
    varied = varied ** (2 ** draw(-0.7, 0.7))
    grey = varied.mean(1, keepdim=True)
    colourless = sometimes(0.08).float()
    varied = grey + (varied - grey) * draw(0.4, 1.3) * (1 - colourless)
    varied = varied * (1 + draw(-0.12, 0.12, channels=3) * (1 - colourless))
    return torch.where(sometimes(share), varied.clamp(0, 1), image)
