"""JPEG 2000: 8 bits, and 16 bits of grey; lossless where the input was.

Specification: ISO/IEC 15444-1, annexes A (codestream) and I (file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from polyrestore.imaging.formats.base import FileFormat, open_by_pillow, quality_or, save_by_pillow
from polyrestore.imaging.image import DEFAULT_QUALITY, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note

_FILE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
_CODING_STYLE = b"\xff\x52"
_SMALLEST_LOSSY_PX = 64


def _open(content: bytes) -> PILImage.Image:
    opened = open_by_pillow(Jpeg2KImageFile, content)
    # What the library says of itself is no comment on the photograph.
    if str(opened.info.get("comment", b"")).find("Created by OpenJPEG") >= 0:
        del opened.info["comment"]
    return opened


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    decoded = decode_by_pillow(opened, name)
    bits = _bits(content)
    if bits > 8 and decoded.samples.dtype == np.uint8:
        decoded.notes.append(Note("bits_reduced", f"{bits}-bit JPEG 2000 read with 8 bits per channel"))
    return decoded


def _bits(content: bytes) -> int:
    """Return the bits of the first component, from the SIZ segment; 8 where there is none."""
    start = content.find(_CODESTREAM)
    place = start + 2 + 2 + 38
    return 8 if start < 0 or place >= len(content) else (content[place] & 0x7F) + 1


def _is_lossless(content: bytes, opened: PILImage.Image) -> bool:
    """Return True for the reversible wavelet, which the COD segment names."""
    start = content.find(_CODESTREAM)
    place = content.find(_CODING_STYLE, max(start, 0))
    return start >= 0 and 0 <= place < len(content) - 13 and content[place + 13] == 1


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    colour = int(samples.shape[2] >= 3)
    # In smaller images than this, OpenJPEG misses the error that it is asked for by 20 dB.
    small = min(samples.shape[:2]) < _SMALLEST_LOSSY_PX
    if small or (metadata.lossless and quality is None):
        return save_by_pillow(samples, metadata, "JPEG2000", irreversible=False, mct=colour)
    # As far from the pixels as JPEG of the same quality was measured to be on a photograph.
    decibel = 42.0 + 0.4 * ((quality_or(quality, DEFAULT_QUALITY)) - DEFAULT_QUALITY)
    return save_by_pillow(
        samples,
        metadata,
        "JPEG2000",
        irreversible=True,
        mct=colour,
        quality_mode="dB",
        quality_layers=[max(decibel, 20.0)],
    )


JPEG2000 = FileFormat(
    name="JPEG2000",
    suffixes=(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    bit_depths=(8,),
    grey=True,
    alpha=True,
    grey_with_alpha=(8,),
    icc_profile=False,
    exif=False,
    dpi=False,
    maximum_side_px=2**31 - 1,
    starts=lambda start: start.startswith((_FILE, _CODESTREAM)),
    open=_open,
    decode=_decode,
    is_lossless=_is_lossless,
    encode=_encode,
)
