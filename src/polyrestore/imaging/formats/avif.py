"""AVIF: by Pillow, with 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import features

from polyrestore.errors import ImageError, OutputError
from polyrestore.imaging.formats.base import FileFormat, never, open_by_pillow, quality_or, save_by_pillow
from polyrestore.imaging.formats.isobmff import AVIF_BRANDS, HEIF_BRANDS, is_coded_as
from polyrestore.imaging.image import ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note

# As far from the pixels of a photograph as JPEG at 95, in three quarters of the size.
_USUAL_QUALITY = 90
_NEEDED = "AVIF needs Pillow 11.3 or newer: pip install --upgrade pillow"
_HIGH_BIT_DEPTH, _TWELVE_BITS = 0x40, 0x20


def _open(content: bytes) -> PILImage.Image:
    if not features.check("avif"):
        raise ImageError(_NEEDED)
    from PIL.AvifImagePlugin import AvifImageFile

    return open_by_pillow(AvifImageFile, content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    decoded = decode_by_pillow(opened, name)
    bits = _bits(content)
    if bits > 8:
        decoded.notes.append(Note("bits_reduced", f"{bits}-bit AVIF read with 8 bits per channel"))
    return decoded


def _bits(content: bytes) -> int:
    """Return the bits per channel that the first AV1 configuration states (AV1 in ISOBMFF, section 2.3)."""
    place = content.find(b"av1C") + 4
    if place < 4 or place + 2 >= len(content) or not content[place + 2] & _HIGH_BIT_DEPTH:
        return 8
    return 12 if content[place + 2] & _TWELVE_BITS else 10


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    if not features.check("avif"):
        raise OutputError(_NEEDED)
    options: dict[str, Any] = {} if metadata.grey else {"subsampling": "4:4:4"}
    if metadata.extras.xmp is not None:
        options["xmp"] = metadata.extras.xmp
    return save_by_pillow(samples, metadata, "AVIF", quality=quality_or(quality, _USUAL_QUALITY), **options)


AVIF = FileFormat(
    name="AVIF",
    suffixes=(".avif", ".avifs"),
    bit_depths=(8,),
    grey=False,
    alpha=True,
    grey_with_alpha=(),
    icc_profile=True,
    exif=True,
    dpi=False,
    maximum_side_px=65535,
    starts=lambda start: is_coded_as(start, AVIF_BRANDS, HEIF_BRANDS),
    open=_open,
    decode=_decode,
    is_lossless=never,
    encode=_encode,
)
