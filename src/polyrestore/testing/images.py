"""Generated images that checks run on, and the wording of what they find."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from polyrestore.errors import ContractError


def require(holds: bool, sentence: str) -> None:
    """Go on where something holds.

    Raises:
        ContractError: it does not; ``sentence`` says what.
    """
    if not holds:
        raise ContractError(sentence)


def seeded(seed: int = 0) -> Generator:
    """Return a generator that begins at a seed."""
    return torch.Generator().manual_seed(seed)


def random_image(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    """Return noise (B, 3, H, W) that brightens from corner to corner, so that no part is like the whole."""
    noise = torch.rand(batch, 3, height, width, generator=seeded(seed))
    slope = torch.linspace(0, 1, height)[:, None] + torch.linspace(0, 1, width)
    return noise * slope / 2


def scene(count: int = 2, height: int = 96, width: int = 112) -> Tensor:
    """Return a picture with smooth areas, edges and fine texture, ``count`` times: (count, 3, H, W)."""
    rows = torch.linspace(0, 1, height).view(1, 1, -1, 1)
    columns = torch.linspace(0, 1, width).view(1, 1, 1, -1)
    smooth = torch.cat(
        [0.3 + 0.4 * rows + 0 * columns, 0.7 - 0.4 * columns + 0 * rows, 0.5 + 0 * rows * columns], 1
    )
    checks = ((rows * 12).floor() + (columns * 14).floor()) % 2
    texture = torch.rand((1, 3, height, width), generator=seeded(7)) * 0.1
    return (smooth * 0.7 + checks * 0.2 + texture).clamp(0, 1).expand(count, -1, -1, -1).clone()


def psnr_db(first: Tensor, second: Tensor) -> float:
    """Return the PSNR in decibels of images in [0, 1]; infinite where they are equal."""
    return float(-10 * torch.log10((first - second).square().mean()))


def largest_difference(first: Tensor, second: Tensor) -> float:
    """Return the largest difference of two tensors of one shape."""
    return float((first.float() - second.float()).abs().max()) if first.numel() else 0.0
