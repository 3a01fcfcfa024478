"""TIFF: writing of integers and floats with EXIF, profile and resolution."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import TiffTags
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from polyrestore.imaging.exif import EXIF_PREFIX, ORIENTATION_TAG
from polyrestore.imaging.metadata.extras import Extras
from polyrestore.imaging.metadata.tags import add_to_directory

# Tags of the main directory that describe the photograph; all the others describe how the pixels are stored.
DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_EXIF_DIRECTORY = 34665
_GPS_DIRECTORY = 34853
_INTEROPERABILITY_DIRECTORY = 40965
READ_AS_EXIF = frozenset((*DESCRIPTIVE_TAGS, _EXIF_DIRECTORY, _GPS_DIRECTORY))
_ADOBE_DEFLATE = 8
_HORIZONTAL_PREDICTOR = 2
_ANYTHING, _ALPHA = 0, 2
_SAMPLE_FORMATS = {"i": 2, "f": 3}
_STRIP_BYTES = 1 << 18
_HEADER_BYTES = 8


def encode_tiff(
    samples: NDArray[Any],
    *,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    further: int = 0,
    extras: Extras | None = None,
) -> bytes:
    """Return a TIFF file, deflated without loss.

    Pillow writes no 16-bit colour and tifffile no EXIF directory, so the pixels are laid out here and
    Pillow's directory writer does the rest.

    Args:
        samples: (H, W, C) integers or floats, with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA), and
            further channels behind these.
        icc_profile: a colour profile to embed.
        exif: an EXIF block without prefix; orientation and storage tags in it are left out.
        dpi: pixels per inch, horizontal and vertical.
        further: how many of the channels are neither colour nor alpha.
        extras: XMP, IPTC, image resources, tags and a resolution without a unit to embed.
    """
    height, width, channels = samples.shape
    rows_per_strip = max(1, _STRIP_BYTES // (width * channels * samples.itemsize))
    # Differences of floats compress no better, and few programs know those of 64 bits.
    differs = samples.dtype.kind != "f" and samples.itemsize <= 4
    as_stored = _difference if differs else _plain
    strips = [
        zlib.compress(as_stored(samples[top : top + rows_per_strip]), 6)
        for top in range(0, height, rows_per_strip)
    ]
    lengths = tuple(len(strip) for strip in strips)

    directory = ImageFileDirectory_v2(b"II*\x00\x00\x00\x00\x00", prefix=b"II")
    directory[256], directory[257] = width, height
    directory[258] = (samples.itemsize * 8,) * channels
    directory[259] = _ADOBE_DEFLATE
    shown = channels - further
    directory[262] = 1 if shown < 3 else 2
    # Relative to the end of the directory: Pillow's writer adds where that is.
    directory[273] = (0, *itertools.accumulate(lengths[:-1]))
    directory[ORIENTATION_TAG] = 1
    directory[277] = channels
    directory[278] = rows_per_strip
    directory[279] = lengths
    if differs:
        directory[317] = _HORIZONTAL_PREDICTOR
    if extra := (_ALPHA,) * (shown in (2, 4)) + (_ANYTHING,) * further:
        directory[338] = extra
    if samples.dtype.kind != "u":
        directory[339] = (_SAMPLE_FORMATS[samples.dtype.kind],) * channels
    if dpi is not None:
        directory[282], directory[283] = IFDRational(dpi[0]), IFDRational(dpi[1])
        directory[296] = 2
    if icc_profile is not None:
        directory[34675] = icc_profile
    if exif is not None:
        _add_exif(directory, exif)
    if extras is not None:
        add_to_directory(directory, extras)

    header = b"II*\x00" + struct.pack("<I", _HEADER_BYTES)
    return b"".join([header, directory.tobytes(_HEADER_BYTES), *strips])


def descriptive_exif(tags: PILImage.Exif) -> bytes | None:
    """Return an EXIF block with what a TIFF file's own tags say about the photograph, None without any."""
    kept = PILImage.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in tags:
            kept[tag] = _as_stored(tag, tags[tag])
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        if entries := tags.get_ifd(tag):
            stored = {number: _as_stored(number, value, tag) for number, value in entries.items()}
            kept.get_ifd(tag).update(stored)
            # Pillow writes a directory only if the main one names it.
            kept[tag] = stored
    return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None


def _as_stored(number: int, value: Any, directory: int | None = None) -> Any:
    """Return a text as its bytes: Pillow takes them for Latin-1, and would write ASCII alone.

    A tag that it does not know for a text stays one, because it would write bytes as numbers.
    """
    known = TiffTags.lookup(number, directory).type == TiffTags.ASCII
    return value.encode("latin-1", "replace") if known and isinstance(value, str) else value


def _difference(rows: NDArray[Any]) -> bytes:
    """Return the strip's bytes with each sample replaced by its difference to the pixel on its left."""
    differences = rows.astype(rows.dtype.newbyteorder("<"))
    differences[:, 1:] -= rows[:, :-1]
    return differences.tobytes()


def _plain(rows: NDArray[Any]) -> bytes:
    return rows.astype(rows.dtype.newbyteorder("<")).tobytes()


def _add_exif(directory: ImageFileDirectory_v2, exif: bytes) -> None:
    tags = PILImage.Exif()
    tags.load(EXIF_PREFIX + exif)
    for tag in DESCRIPTIVE_TAGS:
        if tag in tags:
            directory[tag] = _as_stored(tag, tags[tag])
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        entries = {number: _as_stored(number, value, tag) for number, value in tags.get_ifd(tag).items()}
        # A nested directory inside a nested one is beyond Pillow's writer; this one names a file layout only.
        entries.pop(_INTEROPERABILITY_DIRECTORY, None)
        if entries:
            directory.tagtype[tag] = 4
            directory[tag] = entries
