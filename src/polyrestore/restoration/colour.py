"""A photograph without colour gets none: whatever a network makes of it, only its brightness changes."""

from __future__ import annotations

from torch import Tensor

# What compression leaves of a grey photograph that was stored with three channels.
GREY_SPREAD = 2.5 / 255


def is_grey(image: Tensor) -> bool:
    """Return whether no pixel of an image (3, H, W) in [0, 1] shows a colour, beyond two levels of 8 bits."""
    return bool((image.amax(0) - image.amin(0)).max() <= GREY_SPREAD)


def kept_grey(given: Tensor, restored: Tensor) -> Tensor:
    """Return the restored image, and of a grey one its brightness beside the differences that there were.

    Args:
        given: (3, H, W) in [0, 1].
        restored: likewise.

    Returns:
        (3, H, W) in [0, 1]; where R = G = B in ``given``, they are equal here.
    """
    if not is_grey(given):
        return restored
    brightness = given.mean(0, keepdim=True)
    return (restored.mean(0, keepdim=True) + (given - brightness)).clamp(0, 1)
