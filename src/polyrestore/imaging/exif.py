"""EXIF orientation: reset in place, so that the rest of the block stays as the camera wrote it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXIF_PREFIX = b"Exif\x00\x00"
ORIENTATION_TAG = 0x0112
RESOLUTION_TAG = 0x011A
_ENTRY_BYTES = 12
_SHORT = 3


def without_prefix(exif: bytes) -> bytes:
    """Return the TIFF structure of an EXIF block that may start with "Exif" and two zero bytes."""
    return exif[len(EXIF_PREFIX) :] if exif.startswith(EXIF_PREFIX) else exif


def with_upright_orientation(exif: bytes) -> bytes:
    """Return ``exif`` with every orientation entry of its main directory set to 1.

    Only those two bytes change: writing the block anew would break maker notes, which hold absolute offsets.
    A block that cannot be parsed is returned as it is.

    Args:
        exif: a TIFF structure without the "Exif" prefix.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return exif
    patched = bytearray(exif)
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for index in range(count):
            position = directory + 2 + index * _ENTRY_BYTES
            tag, kind = struct.unpack_from(order + "HH", exif, position)
            if tag == ORIENTATION_TAG and kind == _SHORT:
                struct.pack_into(order + "H", patched, position + 8, 1)
    except struct.error:
        return exif
    return bytes(patched)


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return ``pixels`` (H, W, ...) as they should be looked at.

    Args:
        pixels: any array whose first two axes are height and width.
        orientation: the EXIF value, 1 to 8; others count as 1, which changes nothing.
    """
    if orientation == 2:
        return np.flip(pixels, 1)
    if orientation == 3:
        return np.rot90(pixels, 2)
    if orientation == 4:
        return np.flip(pixels, 0)
    if orientation == 5:
        return np.swapaxes(pixels, 0, 1)
    if orientation == 6:
        return np.rot90(pixels, -1)
    if orientation == 7:
        return np.rot90(np.swapaxes(pixels, 0, 1), 2)
    if orientation == 8:
        return np.rot90(pixels, 1)
    return pixels
