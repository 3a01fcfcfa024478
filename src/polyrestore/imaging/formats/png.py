"""PNG: up to 8 bits by Pillow, and 16 by :mod:`polyrestore.imaging.png16`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngImageFile

from polyrestore.imaging import png16
from polyrestore.imaging.formats.base import FileFormat, open_by_pillow, save_by_pillow
from polyrestore.imaging.formats.png_frames import whole_frame
from polyrestore.imaging.image import MODES_16, ImageMetadata, Quality
from polyrestore.imaging.metadata.png import split_png
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note


def _open(content: bytes) -> PILImage.Image:
    parts = split_png(content)
    opened = open_by_pillow(PngImageFile, parts.essential)
    # Pillow gives a picture up whose profile is damaged or large, and so does not get to see it.
    opened.info["icc_profile"] = parts.icc_profile
    if parts.xmp is not None:
        # Pillow looks for an orientation there.
        opened.info["xmp"] = parts.xmp
    return opened


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    header = png16.read_header(content, name)
    deep: bytes | None = None
    if header.bit_depth == 16 and not header.interlaced:
        several = getattr(opened, "n_frames", 1) > 1
        deep = whole_frame(content, opened.tell(), opened.size) if several else content
    if deep is not None:
        samples = png16.read_png16(deep, name)
        opened.load()
        return DecodedPicture(samples, MODES_16[samples.shape[2]])
    decoded = decode_by_pillow(opened, name)
    if header.bit_depth == 16 and decoded.samples.dtype == np.uint8:
        what = "interlaced" if header.interlaced else "animated, with frames in parts"
        decoded.notes.append(Note("bits_reduced", f"16-bit PNG, {what}, read with 8 bits per channel"))
    return decoded


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    if samples.dtype == np.uint16:
        return png16.encode_png16(
            samples, icc_profile=metadata.icc_profile, exif=metadata.exif, dpi=metadata.dpi
        )
    return save_by_pillow(samples, metadata, "PNG")


PNG = FileFormat(
    name="PNG",
    suffixes=(".png",),
    bit_depths=(8, 16),
    grey=True,
    alpha=True,
    grey_with_alpha=(8, 16),
    icc_profile=True,
    exif=True,
    dpi=True,
    maximum_side_px=2**31 - 1,
    starts=lambda start: start.startswith(png16.SIGNATURE),
    open=_open,
    decode=_decode,
    encode=_encode,
)
