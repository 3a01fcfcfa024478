"""Enlarging: a cubic interpolation, and the adapter for lost resolution on top of it.

The network sees the picture at its new size, soft as interpolation leaves it, as in SRCNN (Dong et al.,
"Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016) and AdaIR. What else is wrong with a
picture is restored before, at its own size, because interpolated noise is another noise. The adapter for lost
resolution acts once, at the new size, whether it was named or not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.errors import CompositionError
from polyrestore.imaging import ImageMetadata
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.levels import to_floats, to_levels

SCALES = (1, 2, 3, 4)
"""How many times as wide and high as its input a result can be."""

ENLARGED_AS = "downsampling"
"""The adapter that acts on an enlarged picture."""

# The cubic kernel reaches two pixels to each side.
_KERNEL_PX = 2


def require_scale(scale: int, adapters: Collection[str]) -> None:
    """Refuse a scale that is not one of :data:`SCALES`, or that there is no adapter for.

    Raises:
        CompositionError: there is no such scale, or no adapter of the name :data:`ENLARGED_AS`.
    """
    if scale not in SCALES:
        known = ", ".join(map(str, SCALES[:-1]))
        raise CompositionError(f"scale must be {known} or {SCALES[-1]}, not {scale}")
    if scale > 1 and ENLARGED_AS not in adapters:
        raise CompositionError(f"the bundle has no adapter {ENLARGED_AS!r}, so it cannot enlarge")


def enlarge(pixels: Tensor, scale: int) -> Tensor:
    """Return an image (C, H, W), levels or floats in [0, 1], as (C, scale H, scale W) of the same type.

    The kernel is Keys' with a = -0.5, as in Pillow and MATLAB, and pixels are areas: the picture's border
    stays where it is. Beyond the border the picture is cut off, not continued.
    """
    channels, height, width = pixels.shape
    large = torch.empty((channels, scale * height, scale * width), dtype=pixels.dtype, device=pixels.device)
    for band in bands_of(height):
        top = max(0, band.start - _KERNEL_PX)
        rows = to_floats(pixels[:, top : band.stop + _KERNEL_PX])
        # With antialias the kernel is that of Pillow; an enlargement has nothing to smooth.
        part = functional.interpolate(
            rows[None], scale_factor=float(scale), mode="bicubic", antialias=True, align_corners=False
        )[0]
        start = scale * (band.start - top)
        kept = part[:, start : start + scale * (band.stop - band.start)].clamp(0, 1)
        large[:, scale * band.start : scale * band.stop] = to_levels(kept, pixels.dtype)
    return large


def enlarge_metadata(metadata: ImageMetadata, scale: int) -> ImageMetadata:
    """Return what belongs to an image for one that is ``scale`` times as wide and high.

    Alpha is enlarged as colours are; pixels of channels that are neither are repeated, because they may be
    numbers of things.
    """
    if scale == 1:
        return metadata
    alpha, further = metadata.alpha, metadata.further
    return replace(
        metadata,
        alpha=None if alpha is None else enlarge(alpha, scale),
        further=None if further is None else further.repeat(scale, axis=0).repeat(scale, axis=1),
    )
