"""Between the input and the restored image: as strongly as was asked for."""

from __future__ import annotations

from torch import Tensor

from polyrestore.imaging.bands import bands_of


def blend_into(restored: Tensor, given: Tensor, strength: float) -> Tensor:
    """Go from the input to the restored image by ``strength`` in [0, 1].

    Args:
        restored: (3, H, W); the result takes its place.
        given: (3, H, W).
        strength: how far to go.
    """
    # In bands, since a large photograph would otherwise be there three times more.
    for band in bands_of(restored.shape[1]):
        part = given[:, band]
        restored[:, band] = (part + strength * (restored[:, band] - part)).clamp_(0, 1)
    return restored
