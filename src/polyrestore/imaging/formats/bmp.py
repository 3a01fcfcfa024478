"""BMP: 8 bits, with alpha in a header that says so."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.BmpImagePlugin import BmpImageFile

from polyrestore.imaging.formats.base import FileFormat, open_by_pillow, save_by_pillow
from polyrestore.imaging.image import ImageMetadata, Quality
from polyrestore.notes import Note


def _open(content: bytes) -> PILImage.Image:
    return open_by_pillow(BmpImageFile, content)


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    if metadata.alpha is not None:
        return _encode_with_alpha(samples, metadata.dpi)
    # Pillow would claim 96 where no resolution is known.
    return save_by_pillow(samples, metadata, "BMP", dpi=metadata.dpi or (0, 0))


def _encode_with_alpha(samples: NDArray[np.uint8], dpi: tuple[float, float] | None) -> bytes:
    """Return a 32-bit BMP with a version 4 header: Pillow writes alpha, but does not declare it."""
    height, width, _ = samples.shape
    pixels = samples[::-1, :, [2, 1, 0, 3]].tobytes()
    per_metre = [int(value / 0.0254 + 0.5) for value in dpi] if dpi else [0, 0]
    bit_fields = 3
    offset = 14 + 108
    file_header = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, bit_fields, len(pixels), *per_metre, 0, 0)
    masks = struct.pack("<IIII", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    return file_header + header + masks + b"BGRs" + bytes(36 + 12) + pixels


BMP = FileFormat(
    name="BMP",
    suffixes=(".bmp", ".dib"),
    bit_depths=(8,),
    grey=True,
    alpha=True,
    grey_with_alpha=(),
    icc_profile=False,
    exif=False,
    dpi=True,
    maximum_side_px=2**31 - 1,
    starts=lambda start: start.startswith(b"BM"),
    open=_open,
    encode=_encode,
)
