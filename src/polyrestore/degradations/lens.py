"""What happens in the lens or while the shutter is open: motion and defocus blur."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import chance, convolve_each, disk_kernels


def trajectory_kernels(length_px: Tensor, generator: Generator, radius: int, points: int = 96) -> Tensor:
    """Draw the path of a shaking camera as blur kernels.

    The path is a random walk whose direction and speed have inertia, scaled to its length and centred on its
    own mean, so that the blurred image stays in place.

    Args:
        length_px: (B,) largest extent of the path.
        generator: source of randomness.
        radius: half the kernel size.
        points: samples along the path.

    Returns:
        (B, 2 * radius + 1, 2 * radius + 1), each with a sum of 1.
    """
    count = length_px.shape[0]
    start = torch.rand((count, 1), generator=generator) * 2 * torch.pi
    turns = torch.randn((count, points), generator=generator) * 0.12
    bend = torch.randn((count, 1), generator=generator) * 0.02 + turns.cumsum(1) * 0.25
    wild = (torch.rand((count, 1), generator=generator) < 0.5).float()
    direction = start + bend.cumsum(1) * wild * 0.5
    speed = 1 + 0.6 * torch.randn((count, points), generator=generator).cumsum(1) / points**0.5
    path = torch.stack([direction.sin() * speed, direction.cos() * speed], 2).cumsum(1)
    path = path - path.mean(1, keepdim=True)
    extent = (path.amax(1) - path.amin(1)).norm(dim=1).clamp(min=1e-6)
    path = (path * (length_px / extent).view(-1, 1, 1)).clamp(-radius + 1, radius - 1) + radius
    base = path.floor()
    fraction = path - base
    size = 2 * radius + 1
    kernels = torch.zeros((count, size * size))
    for down in (0, 1):
        for right in (0, 1):
            weight_down = fraction[..., 0] if down else 1 - fraction[..., 0]
            weight_right = fraction[..., 1] if right else 1 - fraction[..., 1]
            index = (base[..., 0] + down) * size + base[..., 1] + right
            kernels.scatter_add_(1, index.long(), weight_down * weight_right)
    return (kernels / points).view(count, size, size)


@dataclass(frozen=True)
class MotionBlur:
    """Convolution with the path of a shaking camera, in linear light or as the file stores it.

    Attributes:
        length_px: length of the path at severity 0 and 1.
    """

    length_px: tuple[float, float] = (2.0, 30.0)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images blurred by motion (B, 3, H, W)."""
        length = self.length_px[0] + (self.length_px[1] - self.length_px[0]) * severity
        kernels = trajectory_kernels(length, generator, radius=int(self.length_px[1]) + 2)
        return _blur(image, kernels, generator)


@dataclass(frozen=True)
class DefocusBlur:
    """Convolution with the disc of confusion, in linear light or as the file stores it.

    Attributes:
        radius_px: radius of the disc at severity 0 and 1.
    """

    radius_px: tuple[float, float] = (0.6, 7.0)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images out of focus (B, 3, H, W)."""
        radii = self.radius_px[0] + (self.radius_px[1] - self.radius_px[0]) * severity
        return _blur(image, disk_kernels(radii, int(self.radius_px[1]) + 2), generator)


def _blur(image: Tensor, kernels: Tensor, generator: Generator) -> Tensor:
    gamma = 1 + 1.2 * chance(generator, image.shape[0], 0.5)
    blurred = convolve_each(image.clamp(min=0) ** gamma, kernels)
    return blurred.clamp(min=1e-8) ** (1 / gamma)
