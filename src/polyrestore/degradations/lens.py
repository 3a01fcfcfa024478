"""What happens in the lens or while the shutter is open: motion and defocus blur."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import chance, smooth_field, uniform
from polyrestore.degradations.kernels import convolve_each, disk_kernels


def trajectory_kernels(
    length_px: Tensor, generator: Generator, radius: int, points: int = 96, straight_share: float = 0.4
) -> Tensor:
    """Draw the path of a shaking camera, or of a thing that moves straight on, as blur kernels.

    The path of a shake is a random walk whose direction and speed have inertia. A path is scaled to its
    length and centred on its own mean, so that the blurred image stays in place. A quarter of the paths are
    seen at a few instants only, as in a mean of video frames.

    Args:
        length_px: (B,) largest extent of the path.
        generator: source of randomness.
        radius: half the kernel size.
        points: samples along the path.
        straight_share: probability of a straight path.

    Returns:
        (B, 2 * radius + 1, 2 * radius + 1), each with a sum of 1.
    """
    count = length_px.shape[0]
    start = torch.rand((count, 1), generator=generator) * 2 * torch.pi
    turns = torch.randn((count, points), generator=generator) * 0.12
    bend = torch.randn((count, 1), generator=generator) * 0.02 + turns.cumsum(1) * 0.25
    shaking = (torch.rand((count, 1), generator=generator) >= straight_share).float()
    direction = start + bend.cumsum(1) * shaking * 0.5
    speed = 1 + 0.6 * torch.randn((count, points), generator=generator).cumsum(1) / points**0.5
    path = torch.stack([direction.sin() * speed, direction.cos() * speed], 2).cumsum(1)
    # Frames of a video at 240 per second: seven to eleven of them make one long exposure.
    frames = torch.randint(7, 12, (count, 1), generator=generator)
    instants = ((torch.arange(points) * frames / points).floor() + 0.5) * points / frames
    seldom = torch.rand((count, 1), generator=generator) < 0.25
    order = torch.where(seldom, instants, torch.arange(points).float()).long()
    path = path.gather(1, order[..., None].expand(-1, -1, 2))
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
    """Convolution of linear light with the path of a shaking camera or of a moving thing.

    Lamps and reflections are brighter than a file can say; their trails stay bright. In some samples a part
    of the picture moves less than the rest.

    Attributes:
        length_px: length of the path at severity 0 and 1.
        highlight: by how much burnt-out highlights exceed white, at most.
        linear_share: probability that the blur happens in linear light, and not as the file stores it.
        local_share: probability that the blur differs over the picture.
    """

    length_px: tuple[float, float] = (1.0, 25.0)
    highlight: float = 3.0
    linear_share: float = 0.75
    local_share: float = 0.3

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images blurred by motion (B, 3, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        length = self.length_px[0] + (self.length_px[1] - self.length_px[0]) * severity
        kernels = trajectory_kernels(length, generator, radius=int(self.length_px[1] * 0.75) + 1)
        gamma = 1 + 1.2 * chance(generator, count, self.linear_share)
        beyond = ((image.mean(1, keepdim=True) - 0.94) / 0.06).clamp(min=0)
        boost = uniform(generator, count, 0, self.highlight) * chance(generator, count, 0.5)
        light = image.clamp(min=0) ** gamma * (1 + boost * beyond)
        blurred = convolve_each(light, kernels)
        local = chance(generator, count, self.local_share).flatten().nonzero().flatten()
        if local.numel():
            shorter = length[local] * uniform(generator, len(local), 0, 0.5).flatten()
            milder = convolve_each(
                light[local], trajectory_kernels(shorter, generator, kernels.shape[-1] // 2)
            )
            mask = ((smooth_field(generator, len(local), size, 2) - 0.5) * 8 + 0.5).clamp(0, 1)
            blurred[local] = torch.lerp(blurred[local], milder, mask)
        return blurred.clamp(min=1e-8, max=1) ** (1 / gamma)


@dataclass(frozen=True)
class DefocusBlur:
    """Convolution with the disc of confusion, in linear light or as the file stores it.

    Attributes:
        radius_px: radius of the disc at severity 0 and 1.
    """

    radius_px: tuple[float, float] = (0.5, 7.0)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images out of focus (B, 3, H, W)."""
        radii = self.radius_px[0] + (self.radius_px[1] - self.radius_px[0]) * severity
        gamma = 1 + 1.2 * chance(generator, image.shape[0], 0.5)
        blurred = convolve_each(image.clamp(min=0) ** gamma, disk_kernels(radii, int(self.radius_px[1]) + 2))
        return blurred.clamp(min=1e-8) ** (1 / gamma)
