"""Samples whose type does not say what is white: floats and integers of 32 bits, as instruments write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyrestore.errors import ImageError
from polyrestore.imaging.image import SampleScale
from polyrestore.notes import Note

_LARGEST_16 = 65535.0


def find_scale(samples: NDArray[Any], name: Path) -> SampleScale:
    """Return which values stand for black and white.

    Floats within [0, 1] and integers from 0 to 65535 are taken by these ranges. Otherwise the largest value
    is white, and black is 0, or the smallest value where that is negative.

    Args:
        samples: of any shape, floats or integers.
        name: what messages call the file.

    Raises:
        ImageError: floats that are no numbers, or infinite.
    """
    kind = samples.dtype.name
    floats = np.issubdtype(samples.dtype, np.floating)
    if floats and (odd := int(np.count_nonzero(~np.isfinite(samples)))):
        raise ImageError(
            f"{name}: {odd} of {samples.size} values are not numbers or infinite; replace them first"
        )
    low, high = float(samples.min()), float(samples.max())
    usual = 1.0 if floats else _LARGEST_16
    if low >= 0 and high <= usual:
        return SampleScale(kind, 0.0, usual)
    black = min(0.0, low)
    return SampleScale(kind, black, high if high > black else black + usual)


def to_unit(samples: NDArray[Any], scale: SampleScale) -> NDArray[np.float32]:
    """Return samples as floats from 0, black, to 1, white."""
    if (scale.black, scale.white) == (0.0, 1.0):
        return samples.astype(np.float32)
    # In double precision, because float32 ends at whole numbers of 24 bits.
    unit = (samples.astype(np.float64) - scale.black) / (scale.white - scale.black)
    return np.clip(unit, 0, 1).astype(np.float32)


def from_unit(unit: NDArray[np.float32], scale: SampleScale) -> NDArray[Any]:
    """Return floats from 0 to 1 as samples of the type and the range of a file."""
    kind = np.dtype(scale.dtype)
    if (scale.black, scale.white) == (0.0, 1.0):
        return unit.astype(kind)
    values = unit.astype(np.float64) * (scale.white - scale.black) + scale.black
    return (values if np.issubdtype(kind, np.floating) else np.rint(values)).astype(kind)


def scale_notes(scale: SampleScale) -> list[Note]:
    """Return what has to be told about a scale: nothing where its range is the usual one of its type."""
    usual = 1.0 if scale.dtype.startswith("float") else _LARGEST_16
    if (scale.black, scale.white) == (0.0, usual):
        return []
    return [Note("range_scaled", f"values from {scale.black:g} to {scale.white:g} taken for black to white")]
