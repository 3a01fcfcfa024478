"""JPEG: 8 bits, always lossy, with colour at full resolution."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.JpegImagePlugin import jpeg_factory

from polyrestore.imaging.formats.base import FileFormat, never, open_by_pillow, save_by_pillow
from polyrestore.imaging.image import DEFAULT_QUALITY, ImageMetadata
from polyrestore.notes import Note


def _open(content: bytes) -> PILImage.Image:
    return open_by_pillow(jpeg_factory, content)


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: int | None, notes: list[Note]) -> bytes:
    return save_by_pillow(samples, metadata, "JPEG", quality=quality or DEFAULT_QUALITY, subsampling=0)


JPEG = FileFormat(
    name="JPEG",
    suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
    bit_depths=(8,),
    grey=True,
    alpha=False,
    grey_with_alpha=(),
    icc_profile=True,
    exif=True,
    dpi=True,
    maximum_side_px=65500,
    starts=lambda start: start.startswith(b"\xff\xd8\xff"),
    open=_open,
    is_lossless=never,
    encode=_encode,
)
