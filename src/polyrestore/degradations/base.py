"""What a degradation is, and the random draws that all of them share.

Every random number comes from the generator that the caller passes, so the same seed gives the same image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional

STAGES = ("scene", "lens", "sensor", "file")


class DegradationFunction(Protocol):
    """Damages (B, 3, H, W) in [0, 1] with severities (B,) in [0, 1]; the shape stays."""

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return the damaged batch."""


@dataclass(frozen=True)
class Degradation:
    """A named corruption and where it happens on the way from the scene to the file.

    Attributes:
        name: the registry name.
        stage: "scene", "lens", "sensor" or "file"; mixtures are applied in this order.
        summary: one line for people.
        apply: the corruption, with its parameters as fields.
    """

    name: str
    stage: str
    summary: str
    apply: DegradationFunction


def uniform(generator: Generator, count: int, low: float, high: float) -> Tensor:
    """Draw (B, 1, 1, 1) values between ``low`` and ``high``."""
    return torch.rand((count, 1, 1, 1), generator=generator) * (high - low) + low


def chance(generator: Generator, count: int, probability: float) -> Tensor:
    """Draw (B, 1, 1, 1) values that are 1 with the given probability and 0 otherwise."""
    return (torch.rand((count, 1, 1, 1), generator=generator) < probability).float()


def column(severity: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1)."""
    return severity.view(-1, 1, 1, 1)


def smooth_field(generator: Generator, count: int, size: tuple[int, int], cells: int) -> Tensor:
    """Draw smooth random fields (B, 1, H, W) in [0, 1] with about ``cells`` bumps along each side."""
    coarse = torch.rand((count, 1, cells + 1, cells + 1), generator=generator)
    return functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True).clamp(0, 1)


def pixel_grid(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the row and column index of every pixel, each (1, 1, H, W)."""
    rows = torch.arange(size[0], dtype=torch.float32).view(1, 1, -1, 1)
    columns = torch.arange(size[1], dtype=torch.float32).view(1, 1, 1, -1)
    return rows.expand(1, 1, *size), columns.expand(1, 1, *size)


def to_linear(image: Tensor) -> Tensor:
    """Undo the display gamma of (B, 3, H, W) in [0, 1], with a plain power of 2.2."""
    return image.clamp(min=0) ** 2.2


def to_display(linear: Tensor) -> Tensor:
    """Apply the display gamma to linear light (B, 3, H, W) in [0, 1], with a plain power of 1 / 2.2."""
    return linear.clamp(min=1e-8) ** (1 / 2.2)


def convolve_each(image: Tensor, kernels: Tensor, *, reflect: bool = True) -> Tensor:
    """Convolve every image of a batch with its own kernel, through the Fourier transform.

    Args:
        image: (B, C, H, W).
        kernels: (B, K, K) with K odd.
        reflect: mirror the image at its border as far as it reaches, instead of zeros.

    Returns:
        (B, C, H, W).
    """
    height, width = image.shape[-2:]
    radius = kernels.shape[-1] // 2
    if reflect:
        padded = functional.pad(image, (radius,) * 4, mode="replicate")
        inner = (min(radius, height - 1), min(radius, width - 1))
        mirrored = functional.pad(image, (inner[1], inner[1], inner[0], inner[0]), mode="reflect")
        top, left = radius - inner[0], radius - inner[1]
        padded[..., top : top + mirrored.shape[-2], left : left + mirrored.shape[-1]] = mirrored
    else:
        padded = functional.pad(image, (radius,) * 4)
    size = (_fast_length(padded.shape[-2]), _fast_length(padded.shape[-1]))
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernels[:, None], s=size)
    full: Tensor = torch.fft.irfft2(spectrum, s=size)
    start = 2 * radius
    return full[..., start : start + height, start : start + width]


def _fast_length(length: int) -> int:
    """Return the next length that has only the factors 2, 3 and 5, and is even."""
    candidate = length + length % 2
    while True:
        rest = candidate
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return candidate
        candidate += 2


def line_kernels(length_px: Tensor, width_px: Tensor, angle: Tensor, radius: int) -> Tensor:
    """Draw soft line segments, with a peak of about 1.

    Args:
        length_px: (B,) length of the segment.
        width_px: (B,) standard deviation across the segment.
        angle: (B,) radians from the vertical.
        radius: half the kernel size.

    Returns:
        (B, 2 * radius + 1, 2 * radius + 1).
    """
    rows, columns = (axis[0, 0] - radius for axis in pixel_grid((2 * radius + 1, 2 * radius + 1)))
    cosine, sine = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    along, across = rows * cosine + columns * sine, columns * cosine - rows * sine
    half = (length_px / 2).view(-1, 1, 1)
    beyond = (along.abs() - half).clamp(min=0)
    spread = 2 * width_px.view(-1, 1, 1).square()
    return torch.exp(-(across.square() + beyond.square()) / spread)


def disk_kernels(radius_px: Tensor, radius: int) -> Tensor:
    """Draw discs with a soft rim of one pixel and a sum of 1: (B,) radii to (B, 2r + 1, 2r + 1)."""
    rows, columns = (axis[0, 0] - radius for axis in pixel_grid((2 * radius + 1, 2 * radius + 1)))
    distance = (rows.square() + columns.square()).sqrt()
    disc: Tensor = (radius_px.view(-1, 1, 1) + 0.5 - distance).clamp(0, 1)
    return disc / disc.sum((1, 2), keepdim=True)


def sparse_points(generator: Generator, size: tuple[int, int], density: Tensor) -> Tensor:
    """Scatter points of random brightness: density (B, 1, 1, 1) per pixel to (B, 1, H, W) in [0, 1]."""
    draws = torch.rand((density.shape[0], 1, *size), generator=generator)
    hit = (draws < density).float()
    return hit * (0.4 + 0.6 * torch.rand(draws.shape, generator=generator))


def radians(degrees: Tensor) -> Tensor:
    """Convert degrees to radians."""
    return degrees * (math.pi / 180)
