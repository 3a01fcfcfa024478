"""Shapes to convolve photographs and scattered points with, and the convolution itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.degradations.base import pixel_grid


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


def draw_at_points(points: Tensor, kernels: Tensor) -> Tensor:
    """Draw a shape at every point of several layers, and add the layers up.

    Points lie outside the picture too, so that shapes reach into it.

    Args:
        points: (B, L, H + 2R, W + 2R) weights of the points, with a margin of R around the picture.
        kernels: (B, L, 2R + 1, 2R + 1), the shape of each layer.

    Returns:
        (B, 1, H, W).
    """
    height, width = points.shape[-2:]
    size = (_fast_length(height), _fast_length(width))
    spectrum = torch.fft.rfft2(points, s=size) * torch.fft.rfft2(kernels, s=size)
    full: Tensor = torch.fft.irfft2(spectrum.sum(1, keepdim=True), s=size)
    start = kernels.shape[-1] - 1
    return full[..., start:height, start:width].clamp(min=0)


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


def capsule_kernels(
    length_px: Tensor, radius_px: Tensor, softness_px: Tensor, angle: Tensor, radius: int
) -> Tensor:
    """Draw discs that were moved along a straight line, with a soft rim and a peak of about 1.

    Args:
        length_px: (B, L) length of the line; 0 for a disc.
        radius_px: (B, L) radius of the disc.
        softness_px: (B, L) width of the rim.
        angle: (B, L) direction of the line, radians from the vertical.
        radius: half the kernel size.

    Returns:
        (B, L, 2 * radius + 1, 2 * radius + 1).
    """
    rows, columns = (axis[0, 0] - radius for axis in pixel_grid((2 * radius + 1, 2 * radius + 1)))
    length_px, radius_px, softness_px, angle = (
        each[..., None, None] for each in (length_px, radius_px, softness_px, angle)
    )
    cosine, sine = angle.cos(), angle.sin()
    along, across = rows * cosine + columns * sine, columns * cosine - rows * sine
    beyond = (along.abs() - length_px / 2).clamp(min=0)
    distance = (across.square() + beyond.square()).sqrt()
    return torch.sigmoid((radius_px - distance) * 4 / softness_px)


def disk_kernels(radius_px: Tensor, radius: int) -> Tensor:
    """Draw discs with a soft rim of one pixel and a sum of 1: (B,) radii to (B, 2r + 1, 2r + 1)."""
    rows, columns = (axis[0, 0] - radius for axis in pixel_grid((2 * radius + 1, 2 * radius + 1)))
    distance = (rows.square() + columns.square()).sqrt()
    disc: Tensor = (radius_px.view(-1, 1, 1) + 0.5 - distance).clamp(0, 1)
    return disc / disc.sum((1, 2), keepdim=True)
