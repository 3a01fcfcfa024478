"""Pixels as files hold them, whole numbers of 8 or 16 bits, and as networks take them, floats in [0, 1].

A large photograph is kept as levels, a quarter of the memory, and becomes floats a part at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.imaging.bands import bands_of

LARGEST_LEVEL: dict[torch.dtype, int] = {torch.uint8: 255, torch.uint16: 65535}
"""The level that stands for 1, by the type of the levels."""


def to_floats(pixels: Tensor) -> Tensor:
    """Return levels of any shape as float32 in [0, 1], and floats as they are."""
    largest = LARGEST_LEVEL.get(pixels.dtype)
    if largest is None:
        return pixels
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(largest)


def to_levels(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return floats of any shape, clipped to [0, 1], as the nearest levels of a type.

    Args:
        pixels: floats; they are left as they are.
        dtype: a key of :data:`LARGEST_LEVEL`; any other type leaves the floats alone.
    """
    largest = LARGEST_LEVEL.get(dtype)
    return pixels if largest is None else pixels.clamp(0, 1).mul_(largest).round_().to(dtype)


def convert_levels(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an image (3, H, W), levels or floats, as levels of another type or as floats.

    Args:
        pixels: returned itself where it is of the type already.
        dtype: a key of :data:`LARGEST_LEVEL`, or ``torch.float32``.
    """
    if pixels.dtype == dtype:
        return pixels
    converted = torch.empty(pixels.shape, dtype=dtype, device=pixels.device)
    # In bands, because the floats between two types of levels would take more memory than both.
    for band in bands_of(pixels.shape[1]):
        converted[:, band] = to_levels(to_floats(pixels[:, band]), dtype)
    return converted


def equal_pictures(first: Tensor, second: Tensor) -> bool:
    """Return whether two images of one shape (3, H, W), levels or floats, show the same."""
    if first.dtype == second.dtype:
        return torch.equal(movable(first), movable(second))
    return all(
        torch.equal(to_floats(first[:, band]), to_floats(second[:, band]))
        for band in bands_of(first.shape[1])
    )


def movable(pixels: Tensor) -> Tensor:
    """Return levels of 16 bits as int16 with the same bits: of uint16, torch moves and compares little."""
    return pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels
