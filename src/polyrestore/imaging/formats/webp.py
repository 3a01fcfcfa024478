"""WebP: 8 bits of colour; lossless where the input was, and lossy otherwise."""

from __future__ import annotations

import struct
from typing import Any

from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.WebPImagePlugin import WebPImageFile

from polyrestore.imaging.formats.base import FileFormat, open_by_pillow, quality_or, save_by_pillow
from polyrestore.imaging.image import DEFAULT_QUALITY, ImageMetadata, Quality
from polyrestore.notes import Note

# Of lossless files it is the effort; Pillow's own choice.
_EFFORT = 80


def _open(content: bytes) -> PILImage.Image:
    return open_by_pillow(WebPImageFile, content)


def _is_lossless(content: bytes, opened: PILImage.Image) -> bool:
    """Return True when the first picture of a WebP file is stored as a VP8L chunk."""
    place = 12
    while len(head := content[place : place + 8]) == 8:
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        # A frame of an animation holds its own chunks after 16 bytes of geometry.
        place += 8 + (16 if kind == b"ANMF" else length + length % 2)
    return False


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    # Without `exact`, colours under full transparency are changed.
    return save_by_pillow(
        samples,
        metadata,
        "WEBP",
        lossless=metadata.lossless,
        quality=_EFFORT if metadata.lossless else quality_or(quality, DEFAULT_QUALITY),
        exact=True,
    )


WEBP = FileFormat(
    name="WEBP",
    suffixes=(".webp",),
    bit_depths=(8,),
    grey=False,
    alpha=True,
    grey_with_alpha=(),
    icc_profile=True,
    exif=True,
    dpi=False,
    maximum_side_px=16383,
    starts=lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    open=_open,
    is_lossless=_is_lossless,
    encode=_encode,
)
