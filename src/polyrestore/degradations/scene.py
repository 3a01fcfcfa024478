"""What happens between the scene and the lens: haze, rain, snow, shadow, low light."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import (
    chance,
    column,
    convolve_each,
    disk_kernels,
    line_kernels,
    pixel_grid,
    radians,
    smooth_field,
    sparse_points,
    to_display,
    to_linear,
    uniform,
)


def random_depth(image: Tensor, generator: Generator) -> Tensor:
    """Invent a depth map (B, 1, H, W) in [0, 1] for images (B, 3, H, W).

    A plane that mostly recedes upwards, smooth hills, and a part that follows the image's own colours, so
    that depth jumps at the edges of objects as it does in a real scene.
    """
    count, size = image.shape[0], (image.shape[2], image.shape[3])
    rows, columns = pixel_grid(size)
    direction = radians(uniform(generator, count, -60, 60))
    plane = -(rows / size[0]) * direction.cos() + (columns / size[1]) * direction.sin()
    mixing = torch.randn((count, 3, 1, 1), generator=generator)
    colour = (image * mixing).sum(1, keepdim=True)
    window = 2 * max(1, min(size) // 32) + 1
    colour = functional.avg_pool2d(colour, window, 1, window // 2, count_include_pad=False)
    hills = smooth_field(generator, count, size, 3)
    depth = (
        uniform(generator, count, 0.2, 1) * _stretch(plane)
        + uniform(generator, count, 0, 0.8) * _stretch(colour)
        + uniform(generator, count, 0, 0.5) * hills
    )
    return _stretch(depth)


def airlight(generator: Generator, count: int, low: float, high: float, cast: float) -> Tensor:
    """Draw the colour of scattered light (B, 3, 1, 1): grey between low and high with a slight cast."""
    grey = uniform(generator, count, low, high)
    return (grey + (torch.rand((count, 3, 1, 1), generator=generator) - 0.5) * 2 * cast).clamp(0, 1)


def _stretch(field: Tensor) -> Tensor:
    """Stretch each field of (B, 1, H, W) to [0, 1]."""
    low = field.amin((2, 3), keepdim=True)
    return (field - low) / (field.amax((2, 3), keepdim=True) - low).clamp(min=1e-6)


@dataclass(frozen=True)
class Haze:
    """Koschmieder's law I = J t + A (1 - t), t = exp(-beta (d0 + d)), on an invented depth map.

    Attributes:
        beta: scattering at severity 0 and 1; the depth d runs over [0, 1].
        nearest: largest depth d0 of the nearest point, as a share of the range.
        light: range of the airlight A.
        cast: largest deviation of a channel of A from grey.
    """

    beta: tuple[float, float] = (0.15, 2.6)
    nearest: float = 0.35
    light: tuple[float, float] = (0.6, 1.0)
    cast: float = 0.06

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return hazy images (B, 3, H, W)."""
        count = image.shape[0]
        depth = random_depth(image, generator) + uniform(generator, count, 0, self.nearest)
        beta = self.beta[0] + (self.beta[1] - self.beta[0]) * column(severity)
        transmission = torch.exp(-beta * depth)
        return image * transmission + airlight(generator, count, *self.light, self.cast) * (1 - transmission)


@dataclass(frozen=True)
class Rain:
    """Two layers of streaks, near and far, under a bright veil.

    Attributes:
        length_px: range of the near layer's streak length; the far one's is about half.
        width_px: range of the streaks' half width (standard deviation).
        angle_degrees: largest tilt from the vertical.
        opacity: streak opacity at severity 0 and 1.
        veil: largest veil at severity 1, as a share of white light mixed in.
        uneven_share: probability that there are more and fainter streaks, of different brightness and not
            everywhere alike, as photographs of rain show them.
    """

    length_px: tuple[float, float] = (8.0, 56.0)
    width_px: tuple[float, float] = (0.5, 1.8)
    angle_degrees: float = 45.0
    opacity: tuple[float, float] = (0.15, 1.0)
    veil: float = 0.5
    uneven_share: float = 0.5

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return rainy images (B, 3, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        amount = column(severity)
        length = uniform(generator, count, *self.length_px).flatten()
        width = uniform(generator, count, *self.width_px).flatten()
        angle = radians(uniform(generator, count, -self.angle_degrees, self.angle_degrees)).flatten()
        uneven = chance(generator, count, self.uneven_share)
        fading = 1 + uneven * uniform(generator, count, 0, 3)
        crowding = 1 + uneven * uniform(generator, count, 0, 3)
        bare = uneven * uniform(generator, count, 0, 0.9) * smooth_field(generator, count, size, 4)
        streaks = torch.zeros((count, 1, *size))
        for scale, boost in ((1.0, 1.0), (0.45, 2.5)):
            tilt = angle + radians(torch.randn((count,), generator=generator) * 3)
            kernels = line_kernels(length * scale, (width * scale**0.5).clamp(min=0.4), tilt, radius=32)
            spacing = 10 ** uniform(generator, count, -0.9, 0.5)
            area = (length * width).view(-1, 1, 1, 1) * scale**1.5
            density = (0.05 + 0.45 * amount) * spacing * boost / (area * 8)
            points = sparse_points(generator, size, density * crowding) ** fading
            layer = convolve_each(points * (1 - bare), kernels, reflect=False)
            streaks = torch.maximum(streaks, layer.clamp(0, 1))
        low, high = self.opacity
        opacity = (low + (high - low) * amount) * uniform(generator, count, 0.5, 1)
        brightness = uniform(generator, count, 0.65, 1.0)
        alpha = streaks * opacity
        additive = (image + alpha * brightness).clamp(max=1)
        blended = image * (1 - alpha) + alpha * brightness
        rainy = torch.lerp(additive, blended, uniform(generator, count, 0, 1))
        share = self.veil * amount * uniform(generator, count, 0, 1) * chance(generator, count, 0.7)
        share = share * (0.6 + 0.4 * smooth_field(generator, count, size, 2))
        return rainy * (1 - share) + airlight(generator, count, 0.7, 1.0, 0.04) * share


@dataclass(frozen=True)
class Snow:
    """Flakes of three sizes, blurred by their fall, under a light veil.

    Attributes:
        radius_px: radii of the far, middle and near flakes.
        veil: largest veil at severity 1.
    """

    radius_px: tuple[float, ...] = (0.8, 2.2, 5.0)
    veil: float = 0.35

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return snowy images (B, 3, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        amount = column(severity)
        angle = radians(uniform(generator, count, -60, 60)).flatten()
        cover = torch.zeros((count, 1, *size))
        for radius in self.radius_px:
            radii = radius * uniform(generator, count, 0.6, 1.5).flatten()
            fall = line_kernels(radii * uniform(generator, count, 0.1, 3).flatten(), radii * 0.3, angle, 16)
            flake = disk_kernels(radii, 16)
            density = (0.03 + 0.3 * amount) * uniform(generator, count, 0.1, 1) / (radius**2 * 8 + 4)
            points = sparse_points(generator, size, density)
            layer = convolve_each(points, flake / flake.amax((1, 2), keepdim=True), reflect=False)
            layer = convolve_each(layer, fall / fall.sum((1, 2), keepdim=True), reflect=False)
            cover = torch.maximum(cover, layer.clamp(0, 1) * uniform(generator, count, 0.6, 1))
        ragged = 0.75 + 0.25 * torch.rand((count, 1, *size), generator=generator)
        cover = cover * ragged * uniform(generator, count, 0.7, 1)
        white = airlight(generator, count, 0.85, 1.0, 0.03)
        snowy = image * (1 - cover) + white * cover
        share = self.veil * amount * uniform(generator, count, 0, 1)
        return snowy * (1 - share) + white * share


@dataclass(frozen=True)
class Shadow:
    """A soft-edged shape under which the light is weaker and a little bluer.

    Attributes:
        remaining: light left under the shadow at severity 0 and 1 (linear light).
    """

    remaining: tuple[float, float] = (0.8, 0.12)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return shadowed images (B, 3, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        field = smooth_field(generator, count, size, 3) + 0.15 * smooth_field(generator, count, size, 12)
        level = field.flatten(1).median(dim=1).values.view(-1, 1, 1, 1)
        level = level + uniform(generator, count, -0.1, 0.2)
        softness = 10 ** uniform(generator, count, -2.2, -0.8)
        mask = torch.sigmoid((field - level) / softness)
        light = self.remaining[0] + (self.remaining[1] - self.remaining[0]) * column(severity)
        tint = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1) * uniform(generator, count, 0, 0.15)
        factor = light * (1 + tint)
        return to_display(to_linear(image) * (1 - mask * (1 - factor)))


@dataclass(frozen=True)
class LowLight:
    """Too little exposure: less linear light, a colour cast, shot and read noise of the sensor.

    Attributes:
        stops: exposure lost at severity 0 and 1, in powers of two.
        cast: largest relative change of a channel.
        photons: electrons at white, at full exposure: low and high end of the range.
        read_noise: largest standard deviation of the read noise, as a share of white.
    """

    stops: tuple[float, float] = (0.7, 7.0)
    cast: float = 0.35
    photons: tuple[float, float] = (2e3, 4e4)
    read_noise: float = 0.0015

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return dark images (B, 3, H, W)."""
        count = image.shape[0]
        stops = self.stops[0] + (self.stops[1] - self.stops[0]) * column(severity)
        gains = 1 + (torch.rand((count, 3, 1, 1), generator=generator) * 2 - 1) * self.cast
        gamma = uniform(generator, count, 0.85, 1.25)
        linear = to_linear(image) ** gamma * gains * 2**-stops
        photons = 10 ** uniform(generator, count, *(torch.tensor(self.photons).log10().tolist()))
        read = self.read_noise * uniform(generator, count, 0, 1)
        deviation = (linear / photons + read.square()).sqrt()
        return to_display(linear + deviation * torch.randn(image.shape, generator=generator))
