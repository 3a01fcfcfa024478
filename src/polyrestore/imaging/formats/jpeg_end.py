"""JPEG files that were cut off: whether pixels are missing, how many, and the picture with them filled in.

A file that ends early is closed by an end marker, alone and with some data before it. A decoder makes the
same of all where the picture is whole already, and different pictures from the first missing block on
otherwise. Markers and scans: ITU-T T.81, annex B and G.1.
"""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from polyrestore.errors import ImageError
from polyrestore.notes import Note

# Of the picture, in percent. A whole row of blocks in an image of 12 megapixels has 0.5.
LARGEST_MISSING_PERCENT = 1.0
_END = b"\xff\xd9"
# Codes of all lengths, and no marker among them.
_DATA = np.random.default_rng(0).integers(1, 255, 4096, dtype=np.uint8)
# Each bit is the other one in the second: whatever is missing differs from one of them.
_FILLINGS = (_DATA.tobytes(), (~_DATA).tobytes())
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_PROGRESSIVE, _SCAN, _STOP = 0xC2, 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COEFFICIENTS = 64
_MIDDLE = 128
# Smooth upsampling of the colours carries a missing block that far beyond its rim.
_BLEED_PX = 2


def looks_cut_off(content: bytes, opened: PILImage.Image) -> bool:
    """Return whether a file may lack something before its end: some programs close what was cut off.

    Args:
        content: the file's bytes.
        opened: the same, decoded.
    """
    # What a decoder makes of a block that has not come; of CMYK files the levels are turned round.
    last = np.asarray(opened)[-8:, -8:]
    if bool(((last == _MIDDLE) | (last == 255 - _MIDDLE)).all()):
        return True
    return bool(opened.info.get("progressive")) and not _all_scans_there(content)


def picture_without_end(content: bytes, name: Path) -> tuple[PILImage.Image, Note]:
    """Return the picture of a JPEG file whose end is missing, and what has to be told about it.

    Args:
        content: the file's bytes.
        name: what messages call it.

    Raises:
        ImageError: more of the picture is missing than :data:`LARGEST_MISSING_PERCENT`.
        Exception: it cannot be decoded at all; of any class.
    """
    body = content.removesuffix(_END).removesuffix(_END[:1])
    if not _all_scans_there(body):
        raise ImageError(f"{name}: the file was cut off, and details of the whole picture are missing")
    picture = _load(body + _END)
    samples = np.asarray(picture)
    differs = np.zeros(samples.shape[:2], bool)
    for filling in _FILLINGS:
        other = np.asarray(_load(body + filling + _END))
        differs |= (samples != other).reshape(*differs.shape, -1).any(axis=2)
    top, left, rows = _first_missing(differs, _block_px(picture))
    if top is None:
        return picture, Note("end_missing", "the end of the file is missing, but none of the picture")
    height, width = samples.shape[:2]
    bottom = min(height, top + rows)
    missing = (bottom - top) * (width - left) + (height - bottom) * width
    percent = 100 * missing / (height * width)
    if percent > LARGEST_MISSING_PERCENT or top == 0:
        raise ImageError(f"{name}: the file was cut off, and {percent:.3g} % of the picture are missing")
    filled = samples.copy()
    filled[top:bottom, left:] = filled[top - 1, left:]
    filled[bottom:] = filled[bottom - 1]
    found = PILImage.fromarray(filled, picture.mode)
    found.info.update(picture.info)
    sentence = f"{percent:.2g} % of the picture are missing at its end, filled with what is above"
    return found, Note("pixels_missing", sentence)


def _load(content: bytes) -> PILImage.Image:
    picture = PILImage.open(io.BytesIO(content), formats=("JPEG",))
    picture.load()
    return picture


def _block_px(picture: PILImage.Image) -> tuple[int, int]:
    """Return the height and width of what is coded at once: blocks of 8, more where colours have fewer."""
    layers: Any = getattr(picture, "layer", [(0, 1, 1)])
    if len(layers) == 1:
        return 8, 8
    return 8 * max(layer[2] for layer in layers), 8 * max(layer[1] for layer in layers)


def _first_missing(differs: NDArray[np.bool_], block_px: tuple[int, int]) -> tuple[int | None, int, int]:
    """Return where the first missing block begins, top and left, and how many rows it has.

    Args:
        differs: (H, W), True where the picture depends on what the file is closed with.
        block_px: height and width of a block.
    """
    rows, columns = block_px
    if not differs.any():
        return None, 0, rows
    top = (int(np.argmax(differs.any(axis=1))) + _BLEED_PX) // rows * rows
    left = int(np.argmax(differs[top : top + rows].any(axis=0))) + _BLEED_PX
    return top, left // columns * columns if left > _BLEED_PX else 0, rows


def _all_scans_there(content: bytes) -> bool:
    """Return whether the scans that have begun give every coefficient of every component in full."""
    place, progressive = 2, False
    # The lowest bit of each coefficient that has come yet.
    bits: dict[int, list[int]] = {}
    while (found := _MARKER.search(content, place)) is not None:
        kind, place = found[1][0], found.end()
        if kind == _STOP:
            break
        (length,) = struct.unpack(">H", content[place : place + 2])
        segment = content[place + 2 : place + length]
        place += length
        if kind in _FRAMES:
            progressive = kind == _PROGRESSIVE
            bits = {segment[6 + 3 * index]: [99] * _COEFFICIENTS for index in range(segment[5])}
        elif kind == _SCAN:
            count = segment[0]
            first, last, precision = segment[1 + 2 * count : 4 + 2 * count]
            low = precision & 15 if progressive else 0
            chosen = slice(first, last + 1) if progressive else slice(0, _COEFFICIENTS)
            for index in range(count):
                row = bits[segment[1 + 2 * index]]
                row[chosen] = [low] * len(row[chosen])
    return bool(bits) and all(set(row) == {0} for row in bits.values())
