"""What the sensor does: too few pixels, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import chance, column, to_display, to_linear, uniform


@dataclass(frozen=True)
class Downsampling:
    """Reduce the resolution with an anti-aliased filter and enlarge the result back to the old size.

    Attributes:
        factor: reduction at severity 0 and 1.
    """

    factor: tuple[float, float] = (1.3, 4.0)

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
            results.append(functional.interpolate(reduced, size=(height, width), mode="bicubic")[0])
        return torch.stack(results).clamp(0, 1)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise as the benchmarks use it, or noise as a camera leaves it in the file.

    Camera noise starts in linear light with a variance that grows with the signal, on the single colour that
    each sensor pixel measures. Demosaicing and the camera's own smoothing spread it over neighbours, which
    is why networks trained on independent noise fail on photographs.

    Attributes:
        sigma_255: standard deviation at severity 0 and 1, on the scale of 8-bit values.
        camera_share: probability that a sample gets camera noise.
    """

    sigma_255: tuple[float, float] = (2.0, 60.0)
    camera_share: float = 0.4

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return noisy images (B, 3, H, W), not clipped."""
        low, high = self.sigma_255
        sigma = (low + (high - low) * column(severity)) / 255
        camera = chance(generator, image.shape[0], self.camera_share).flatten().bool()
        gaussian = image + sigma * torch.randn(image.shape, generator=generator)
        if not camera.any():
            return gaussian
        noisy = gaussian.clone()
        noisy[camera] = self._camera(image[camera], sigma[camera] * 0.6, generator)
        return noisy

    def _camera(self, image: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
        count = image.shape[0]
        linear = to_linear(image)
        read_share = uniform(generator, count, 0.02, 0.5)
        variance = (2 * sigma).square() * (0.45 * linear + read_share * 0.1)
        raw = (linear + variance.sqrt() * torch.randn(image.shape, generator=generator)).clamp(0, 1)
        error = to_display(demosaic(mosaic(raw))) - to_display(demosaic(mosaic(linear)))
        smoothed = functional.avg_pool2d(error, 3, 1, 1)
        error = torch.lerp(error, smoothed, uniform(generator, count, 0, 0.8))
        grey = error.mean(1, keepdim=True)
        return image + torch.lerp(error, grey.expand_as(error), uniform(generator, count, -0.3, 0.6))


def mosaic(image: Tensor) -> Tensor:
    """Keep the one colour that each pixel of an RGGB sensor measures: (B, 3, H, W) with zeros elsewhere."""
    mask = torch.zeros_like(image[:1])
    mask[:, 0, 0::2, 0::2] = 1
    mask[:, 1, 0::2, 1::2] = 1
    mask[:, 1, 1::2, 0::2] = 1
    mask[:, 2, 1::2, 1::2] = 1
    return image * mask


def demosaic(raw: Tensor) -> Tensor:
    """Fill the missing colours of an RGGB mosaic bilinearly: (B, 3, H, W) to the same shape."""
    red_blue = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
    green = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
    kernels = torch.stack([red_blue, green, red_blue])[:, None]
    present = mosaic(torch.ones_like(raw[:1]))
    filled = functional.conv2d(raw, kernels, padding=1, groups=3)
    return filled / functional.conv2d(present, kernels, padding=1, groups=3).clamp(min=0.25)
