"""What the sensor does: too few pixels, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import chance, column
from polyrestore.degradations.camera import camera_error
from polyrestore.degradations.jpeg import store


@dataclass(frozen=True)
class Downsampling:
    """Reduce the resolution with an anti-aliased filter and enlarge the result back to the old size.

    Attributes:
        factor: reduction at severity 0 and 1.
    """

    factor: tuple[float, float] = (1.2, 4.0)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images of the same size that hold less detail (B, 3, H, W)."""
        height, width = image.shape[-2:]
        results = []
        filters = torch.rand(image.shape[0], generator=generator)
        for sample, amount, choice in zip(image, severity.tolist(), filters.tolist(), strict=True):
            factor = self.factor[0] + (self.factor[1] - self.factor[0]) * amount
            small = (max(1, round(height / factor)), max(1, round(width / factor)))
            mode = "bicubic" if choice < 0.6 else "bilinear"
            reduced = functional.interpolate(sample[None], size=small, mode=mode, antialias=True)
            # The cubic kernel of image programs (a = -0.5), or else that of OpenCV (-0.75).
            plain = choice % 0.3 < 0.15
            enlarged = functional.interpolate(reduced, size=(height, width), mode="bicubic", antialias=plain)
            results.append(enlarged[0])
        return torch.stack(results).clamp(0, 1)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise as the benchmarks use it, or noise as a camera leaves it in the file.

    Attributes:
        sigma_255: standard deviation of Gaussian noise at severity 1, on the scale of 8-bit values; it is
            proportional to the severity.
        camera_255: standard deviation of camera noise in luma at severity 1, likewise.
        camera_share: probability that a sample gets camera noise.
        stored_share: probability that the camera stored a noisy image as JPEG.
    """

    sigma_255: float = 60.0
    camera_255: float = 26.0
    camera_share: float = 0.5
    stored_share: float = 0.5

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return noisy images (B, 3, H, W), not clipped."""
        amount = column(severity) / 255
        camera = chance(generator, image.shape[0], self.camera_share).flatten().bool()
        noisy = image + self.sigma_255 * amount * torch.randn(image.shape, generator=generator)
        if not camera.any():
            return noisy
        strength = self.camera_255 * amount[camera]
        taken = image[camera] + camera_error(image[camera], strength, generator)
        noisy[camera] = store(taken, self.stored_share, generator)
        return noisy
