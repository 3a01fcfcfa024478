"""Too little light: cast shadows, and underexposure of the whole picture or of a part of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import (
    box_blur,
    chance,
    column,
    log_uniform,
    smooth_field,
    to_display,
    to_linear,
    uniform,
)
from polyrestore.degradations.camera import camera_error


@dataclass(frozen=True)
class Shadow:
    """A soft-edged shape under which the light is weaker and a little bluer.

    Attributes:
        remaining: light left under the shadow at severity 0 and 1 (linear light).
    """

    remaining: tuple[float, float] = (1.0, 0.12)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return shadowed images (B, 3, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        field = smooth_field(generator, count, size, 3) + 0.15 * smooth_field(generator, count, size, 12)
        level = field.flatten(1).median(dim=1).values.view(-1, 1, 1, 1)
        level = level + uniform(generator, count, -0.1, 0.2)
        softness = 10 ** uniform(generator, count, -2.2, -0.8)
        mask = torch.sigmoid((field - level) / softness)
        light = self.remaining[0] + (self.remaining[1] - self.remaining[0]) * column(severity) ** 0.6
        tint = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1) * uniform(generator, count, 0, 0.15)
        factor = light * (1 + tint)
        return to_display(to_linear(image) * (1 - mask * (1 - factor)))


@dataclass(frozen=True)
class LowLight:
    """Too little exposure: less linear light through the camera's curve, a colour cast, noise.

    Fitted to 50 pairs of one camera (mean values 9 to 39 of 255 against 63 to 153; 2 to 5.6 stops lost in
    red and 4 to 10 in green and blue; stored values as powers 0.8 to 1.8 of the well exposed ones; luma noise
    of 0.6 to 3.2 levels) and widened, since other cameras have less of a cast.

    Attributes:
        stops: exposure lost at severity 1, in powers of two.
        cast_stops: standard deviation of a channel's own stops at severity 1.
        warm_share: probability that green and blue lose up to ``warm_stops`` more than red, as under lamps.
        warm_stops: see ``warm_share``.
        power: range of the power that the camera's curve adds to stored values.
        noise_255: range of the noise of luma in levels of 8 bits.
        lit_share: probability that lamps light a part of the picture.
        bright_share: probability that bright parts stay bright, as a window or a sky behind a dark room.
    """

    stops: float = 7.0
    cast_stops: float = 0.4
    warm_share: float = 0.2
    warm_stops: float = 2.5
    power: tuple[float, float] = (0.85, 1.3)
    noise_255: tuple[float, float] = (0.3, 4.0)
    lit_share: float = 0.15
    bright_share: float = 0.15

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return dark images (B, 3, H, W)."""
        count = image.shape[0]
        amount = column(severity)
        own = torch.randn((count, 3, 1, 1), generator=generator) * self.cast_stops
        warm = uniform(generator, count, 0, self.warm_stops) * chance(generator, count, self.warm_share)
        own = own + warm * torch.tensor([-0.6, 0.3, 0.4]).view(1, 3, 1, 1)
        lost = (self.stops * amount + own * amount.clamp(max=0.5) * 2).clamp(min=0)
        lost = lost * (1 - self._kept(image, generator))
        power = 1 + (uniform(generator, count, *self.power) - 1) * amount.sqrt()
        dark = (to_linear(image) * 2**-lost).clamp(min=1e-8) ** (power / 2.2)
        levels = log_uniform(generator, count, *self.noise_255) * amount.sqrt()
        return dark + camera_error(dark, levels / 255, generator)

    def _kept(self, image: Tensor, generator: Generator) -> Tensor:
        """Return the share of the loss that each pixel is spared, (B, 1, H, W)."""
        count, size = image.shape[0], (image.shape[2], image.shape[3])
        pool = (smooth_field(generator, count, size, 4) - 0.55).clamp(min=0) * 2.2
        lamps = pool.square() * uniform(generator, count, 0.4, 1) * chance(generator, count, self.lit_share)
        window = 2 * max(1, min(size) // 128) + 1
        bright = box_blur(image.mean(1, keepdim=True), window)
        bright = ((bright - 0.6) / 0.25).clamp(0, 1) * uniform(generator, count, 0.6, 1)
        return torch.maximum(lamps, bright * chance(generator, count, self.bright_share)).clamp(max=1)
