"""A photograph without colour gets none: whatever a network makes of it, only its brightness changes."""

from __future__ import annotations

from torch import Tensor

from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.levels import to_floats

# What compression leaves of a grey photograph that was stored with three channels.
GREY_SPREAD = 2.5 / 255


def is_grey(image: Tensor) -> bool:
    """Return whether no pixel of an image shows a colour, beyond two levels of 8 bits.

    Args:
        image: (3, H, W), floats in [0, 1] or levels.
    """
    return all(_spread(to_floats(image[:, band])) <= GREY_SPREAD for band in bands_of(image.shape[1]))


def keep_grey(restored: Tensor, given: Tensor) -> Tensor:
    """Return the brightness of a restored part of a grey image beside the differences that there were.

    Args:
        restored: (3, H, W) in [0, 1]; the result takes its place.
        given: (3, H, W) in [0, 1], what it was restored from.

    Returns:
        (3, H, W) in [0, 1]; where R = G = B in ``given``, they are equal here.
    """
    # In bands, since a large photograph would otherwise be there several times more.
    for band in bands_of(given.shape[1]):
        brightness = given[:, band].mean(0, keepdim=True)
        differences = given[:, band] - brightness
        restored[:, band] = (restored[:, band].mean(0, keepdim=True) + differences).clamp_(0, 1)
    return restored


def _spread(image: Tensor) -> float:
    return float((image.amax(0) - image.amin(0)).max())
