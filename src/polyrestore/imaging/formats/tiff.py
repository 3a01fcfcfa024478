"""TIFF: 8 bits by Pillow, 16 by tifffile, and written by :mod:`polyrestore.imaging.tiff`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.TiffImagePlugin import TiffImageFile

from polyrestore.imaging.formats.base import FileFormat, open_by_pillow
from polyrestore.imaging.image import MODES_16, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.imaging.quiet import silence_tiff
from polyrestore.imaging.tiff import encode_tiff, read_tiff16
from polyrestore.notes import Note

STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BITS_PER_SAMPLE = 258


def _open(content: bytes) -> PILImage.Image:
    silence_tiff()
    return open_by_pillow(TiffImageFile, content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    assert isinstance(opened, TiffImageFile)
    # Pillow turns TIFF images by itself while it decodes them, and no others.
    if set(opened.tag_v2.get(_BITS_PER_SAMPLE, ())) != {16}:
        return replace(decode_by_pillow(opened, name), upright=True)
    try:
        samples = read_tiff16(content)
    except Exception as error:
        # Compressions that tifffile leaves to an optional package are still read by Pillow.
        decoded = replace(decode_by_pillow(opened, name), upright=True)
        if decoded.samples.dtype == np.uint8:
            sentence = f"16-bit TIFF read with 8 bits per channel ({error})"
            decoded.notes.append(Note("bits_reduced", sentence))
        return decoded
    return DecodedPicture(samples, MODES_16[samples.shape[2]])


def _is_lossless(content: bytes, opened: PILImage.Image) -> bool:
    return str(opened.info.get("compression", "")) not in ("jpeg", "tiff_jpeg", "webp")


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    profile, dpi = metadata.icc_profile, metadata.dpi
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return encode_tiff(samples, icc_profile=profile, exif=metadata.exif, dpi=dpi)
    except Exception as error:
        # TIFF is the one format that takes EXIF apart, and so the one that trips over a damaged block.
        if metadata.exif is None:
            raise
        notes.append(Note("exif_lost", f"the EXIF block could not be taken over, dropped ({error})"))
        return encode_tiff(samples, icc_profile=profile, dpi=dpi)


TIFF = FileFormat(
    name="TIFF",
    suffixes=(".tif", ".tiff"),
    bit_depths=(8, 16),
    grey=True,
    alpha=True,
    # With 16 bits the layout exists, but Pillow and all that builds on it refuse to open it.
    grey_with_alpha=(8,),
    icc_profile=True,
    exif=True,
    dpi=True,
    maximum_side_px=2**31 - 1,
    starts=lambda start: start[:4] in STARTS,
    open=_open,
    decode=_decode,
    is_lossless=_is_lossless,
    encode=_encode,
)
