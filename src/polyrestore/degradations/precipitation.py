"""Falling rain and snow: layers of streaks and flakes at several depths, behind and within a bright veil."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import (
    chance,
    column,
    log_uniform,
    pixel_grid,
    radians,
    smooth_field,
    uniform,
)
from polyrestore.degradations.haze import airlight
from polyrestore.degradations.kernels import capsule_kernels, draw_at_points


@dataclass(frozen=True)
class Rain:
    """Streaks at four depths under a veil of mist and spray, from a faint drizzle to a cloudburst.

    Far streaks are short, thin and many, near ones long, few, and out of focus. Each sample draws how much of
    its rain is streaks and how much is veil. Some samples have rain as it is drawn over photographs in the
    sets that deraining is measured on: two layers of wide streaks of any slant, all in focus.

    Attributes:
        length_px: range of the streaks' length at middle distance.
        width_px: range of the streaks' half width there.
        tilt_degrees: standard deviation of the angle from the vertical.
        veil: scattering of the thickest veil at severity 1, as exponent of its transmission.
        veil_share: probability of a veil.
        uneven_share: probability that the rain is not everywhere alike.
        drawn_share: probability of rain as it is drawn.
        drawn_length_px: range of the length of drawn streaks.
        drawn_width_px: range of their half width.
        drawn_tilt_degrees: their largest angle from the vertical.
    """

    length_px: tuple[float, float] = (4.0, 44.0)
    width_px: tuple[float, float] = (0.2, 0.8)
    tilt_degrees: float = 16.0
    veil: float = 1.2
    veil_share: float = 0.75
    uneven_share: float = 0.6
    drawn_share: float = 0.4
    drawn_length_px: tuple[float, float] = (8.0, 56.0)
    drawn_width_px: tuple[float, float] = (0.5, 1.8)
    drawn_tilt_degrees: float = 45.0

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return rainy images (B, 3, H, W)."""
        count, size, radius = image.shape[0], (image.shape[2], image.shape[3]), 32
        amount = column(severity)
        light = airlight(generator, count, 0.6, 1.0, 0.04)
        misty = put_veil(image, amount * self.veil, self.veil_share, light, generator)
        # Depths, from far to near: how streaks are scaled, blurred, and how many there are of them.
        scale = torch.tensor([0.3, 0.65, 1.0, 1.4])
        blur = torch.tensor([1.0, 0.7, 1.0, 3.0])
        crowd = torch.tensor([1.6, 1.0, 0.8, 0.1])
        drawn = chance(generator, count, self.drawn_share)[..., 0, 0] > 0

        def either(seen: Tensor, drawn_range: tuple[float, float]) -> Tensor:
            return torch.where(drawn, uniform(generator, count, *drawn_range)[..., 0, 0], seen)

        width = either(log_uniform(generator, count, *self.width_px)[..., 0, 0], self.drawn_width_px)
        width = (width * scale.sqrt()).clamp(min=0.25)
        length = (
            either(log_uniform(generator, count, *self.length_px)[..., 0, 0], self.drawn_length_px) * scale
        )
        length = length * (0.7 + 0.6 * torch.rand(length.shape, generator=generator))
        # Shorter ones would be flakes.
        length = torch.maximum(length, 10 * width + 3).clamp(max=2 * radius - 8)
        slant = self.drawn_tilt_degrees
        tilt = either(torch.randn((count, 1), generator=generator) * self.tilt_degrees, (-slant, slant))
        angle = radians(tilt + torch.randn(length.shape, generator=generator) * 2.5)
        softness = (width * blur * uniform(generator, count, 1.2, 3)[..., 0, 0]).clamp(min=0.7)
        kernels = capsule_kernels(length, width * blur.clamp(max=2), softness, angle, radius)
        cover = (_crowding(severity, generator) * 2.2 - 3.4).exp()[:, None]
        share = torch.where(drawn, torch.tensor([0.0, 1.5, 1.5, 0.0]), _layers(count, generator))
        density = cover * crowd * share / (2 * (length + 2 * width) * (width + softness / 2))
        points = scatter(generator, count, size, radius, density, fading=uniform(generator, count, 0, 1))
        streaks = 1 - torch.exp(-1.5 * draw_at_points(points, kernels))
        bare = chance(generator, count, self.uneven_share) * uniform(generator, count, 0, 1)
        streaks = streaks * (1 - bare * smooth_field(generator, count, size, 3))
        alpha = streaks * amount**0.5 * uniform(generator, count, 0.45, 1)
        brightness = light * uniform(generator, count, 0.95, 1.3)
        blended = misty * (1 - alpha) + alpha * brightness.clamp(max=1)
        added = (misty + alpha * brightness * 0.8).clamp(max=1)
        return torch.lerp(blended, added, uniform(generator, count, 0, 1) * chance(generator, count, 0.5))


@dataclass(frozen=True)
class Snow:
    """Flakes from specks to blurred discs close to the lens, streaked by wind, under a light veil.

    Attributes:
        radius_px: radii at four depths, from far to near; each sample scales them.
        opacity: how opaque flakes are at these depths, as exponent; near ones are out of focus and let much
            light through.
        crowd: numbers of flakes at these depths, as shares of the picture covered.
        veil: scattering of the thickest veil at severity 1, as exponent of its transmission.
    """

    radius_px: tuple[float, ...] = (0.5, 1.1, 2.4, 6.5)
    opacity: tuple[float, ...] = (2.0, 3.0, 2.5, 0.8)
    crowd: tuple[float, ...] = (1.0, 0.9, 0.5, 0.35)
    veil: float = 1.1

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return snowy images (B, 3, H, W)."""
        count, size, radius = image.shape[0], (image.shape[2], image.shape[3]), 20
        amount = column(severity)
        white = airlight(generator, count, 0.8, 1.0, 0.03)
        misty = put_veil(image, amount * self.veil, 0.7, white, generator)
        radii = torch.tensor(self.radius_px) * log_uniform(generator, count, 0.7, 1.6)[..., 0, 0]
        radii = radii * (0.8 + 0.4 * torch.rand(radii.shape, generator=generator))
        fall = log_uniform(generator, count, 0.2, 4)[..., 0, 0] * radii**0.7
        angle = radians(
            uniform(generator, count, -60, 60)[..., 0, 0] + torch.randn(radii.shape, generator=generator) * 8
        )
        softness = radii * (0.4 + 1.2 * torch.rand(radii.shape, generator=generator)) + 0.4
        kernels = capsule_kernels(fall.clamp(max=18), radii.clamp(max=12), softness, angle, radius)
        opaque = torch.tensor(self.opacity) / (1 + fall / (3 * radii))
        share = _layers(count, generator)
        cover = (_crowding(severity, generator) * 3.2 - 4).exp()[:, None]
        density = cover * torch.tensor(self.crowd) * share / (3.2 * radii.square() + 2 * radii * fall + 1)
        points = scatter(generator, count, size, radius, density, fading=uniform(generator, count, 0, 0.8))
        flakes = 1 - torch.exp(-draw_at_points(points, kernels * opaque[..., None, None]))
        alpha = flakes * amount**0.4 * uniform(generator, count, 0.6, 1)
        return misty * (1 - alpha) + white * alpha


def scatter(
    generator: Generator, count: int, size: tuple[int, int], margin: int, density: Tensor, fading: Tensor
) -> Tensor:
    """Scatter points in the picture and around it.

    Args:
        generator: source of randomness.
        count: images in the batch, B.
        size: height and width of the picture.
        margin: how far around the picture points lie, in pixels.
        density: (B, L) points per pixel of each layer.
        fading: (B, 1, 1, 1) how much brightnesses differ, in [0, 1]: at 1, most points are faint.

    Returns:
        (B, L, H + 2 margin, W + 2 margin) in [0, 1], mostly 0.
    """
    height, width = size[0] + 2 * margin, size[1] + 2 * margin
    wanted = density[..., None] * height * width
    most = int(wanted.max().ceil())
    shape = (count, density.shape[1], most)
    places = torch.randint(height * width, shape, generator=generator)
    bright = torch.rand(shape, generator=generator) * (
        1 + 3 * uniform(generator, count, 0, 1)[..., 0].square()
    )
    bright = bright.clamp(max=1)
    bright = bright * (1 - fading[..., 0] * (1 - bright.square())) * (torch.arange(most) < wanted)
    points = torch.zeros((count, density.shape[1], height * width)).scatter_add_(2, places, bright)
    return points.view(count, -1, height, width)


def _crowding(severity: Tensor, generator: Generator) -> Tensor:
    """Draw how crowded the air is, about as much as the severity (B,) says."""
    return severity + torch.randn(severity.shape, generator=generator) * 0.2


def _layers(count: int, generator: Generator) -> Tensor:
    """Draw which of four layers each sample has, one of the middle two always, (B, 4)."""
    share = (torch.rand((count, 4), generator=generator) < 0.75).float()
    share[torch.arange(count), torch.randint(1, 3, (count,), generator=generator)] = 1
    return share


def put_veil(image: Tensor, thickness: Tensor, share: float, light: Tensor, generator: Generator) -> Tensor:
    """Lay mist over images: scattered light that is thicker far up or near the ground, and uneven.

    Args:
        image: (B, 3, H, W) in [0, 1].
        thickness: (B, 1, 1, 1) exponent of the transmission where the veil is thickest.
        share: probability that a sample has one.
        light: (B, 3, 1, 1) its colour.
        generator: source of all randomness.
    """
    count, size = image.shape[0], (image.shape[2], image.shape[3])
    rows = pixel_grid(size)[0] / size[0]
    slope = uniform(generator, count, -1, 1)
    uneven = 0.5 + (slope * (rows - 0.5) + smooth_field(generator, count, size, 2) - 0.5) * 0.8
    drawn = uniform(generator, count, 0.1, 1) * chance(generator, count, share)
    transmission = torch.exp(-thickness * drawn * uneven.clamp(min=0))
    return image * transmission + light * (1 - transmission)
