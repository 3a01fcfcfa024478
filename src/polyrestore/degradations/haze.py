"""Mist, haze, smoke and dust, which grow with distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import chance, column, smooth_field, uniform
from polyrestore.degradations.depth import random_depth


def airlight(generator: Generator, count: int, low: float, high: float, cast: float) -> Tensor:
    """Draw the colour of scattered light (B, 3, 1, 1): grey between low and high with a slight cast."""
    grey = uniform(generator, count, low, high)
    return (grey + (torch.rand((count, 3, 1, 1), generator=generator) - 0.5) * 2 * cast).clamp(0, 1)


class Hazy(NamedTuple):
    """Hazy images, not clipped, and the veil that lies over them.

    Attributes:
        image: (B, 3, H, W).
        transmission: t, (B, 1, H, W) in (0, 1].
        light: the airlight A on average over the image, (B, 3, 1, 1) in [0, 1].
    """

    image: Tensor
    transmission: Tensor
    light: Tensor


@dataclass(frozen=True)
class Haze:
    """Koschmieder's law I = J t + A (1 - t), t = exp(-beta (d0 + d)), on an invented depth map.

    Attributes:
        beta: scattering at severity 1, where the depth d runs over [0, 1]; it grows with severity.
        nearest: largest depth d0 of the nearest point, as a share of the range.
        light: range of the airlight A of most samples.
        cast: largest deviation of a channel of A from grey.
        dim_share: probability of an airlight that is darker than ``light``, as at dusk.
        dust_share: probability of a strongly coloured airlight, orange as in a dust storm or blue.
        noise_255: largest standard deviation of the noise that half of the samples get. Every photograph has
            some; removing haze divides by t and makes it stronger.
    """

    beta: float = 2.4
    nearest: float = 0.35
    light: tuple[float, float] = (0.6, 1.0)
    cast: float = 0.06
    dim_share: float = 0.12
    dust_share: float = 0.12
    noise_255: float = 1.2

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return hazy images (B, 3, H, W)."""
        return self.scatter(image, severity, generator).image

    def scatter(self, image: Tensor, severity: Tensor, generator: Generator) -> Hazy:
        """Put a veil over images (B, 3, H, W) at severities (B,), and tell what it is."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        depth = random_depth(image, generator) + uniform(generator, count, 0, self.nearest)
        transmission = torch.exp(-self.beta * column(severity) * depth)
        light = self._light(count, generator)
        uneven = uniform(generator, count, 0, 0.2) * (smooth_field(generator, count, size, 2) - 0.5)
        hazy = image * transmission + (light * (1 + uneven)).clamp(max=1) * (1 - transmission)
        deviation = uniform(generator, count, 0, self.noise_255 / 255) * chance(generator, count, 0.5)
        hazy = hazy + deviation * torch.randn(image.shape, generator=generator)
        return Hazy(hazy, transmission, light)

    def _light(self, count: int, generator: Generator) -> Tensor:
        light = airlight(generator, count, *self.light, self.cast)
        dim = airlight(generator, count, 0.25, self.light[0], self.cast)
        light = torch.where(chance(generator, count, self.dim_share) > 0, dim, light)
        strength = uniform(generator, count, 0.15, 0.7)
        orange = 1 - strength * torch.tensor([0.0, 0.45, 1.0]).view(1, 3, 1, 1)
        blue = 1 - strength * torch.tensor([0.6, 0.25, 0.0]).view(1, 3, 1, 1)
        tint = torch.where(chance(generator, count, 0.7) > 0, orange, blue)
        return torch.where(chance(generator, count, self.dust_share) > 0, light * tint, light)
