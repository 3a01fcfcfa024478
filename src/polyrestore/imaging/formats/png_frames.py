"""Frames of an animated PNG file as files of their own, for the decoder of 16 bits.

Specification: W3C Portable Network Graphics, third edition (2025), sections 11.3.4 and 11.3.5.
"""

from __future__ import annotations

import struct
import zlib

from polyrestore.errors import ImageError
from polyrestore.imaging.metadata.png import SIGNATURE, encode_chunk, walk_chunks

_NOTHING_BELOW = b"\x00"
_END = encode_chunk(b"IEND", b"")


def whole_frame(content: bytes, number: int, size_px: tuple[int, int]) -> bytes | None:
    """Return a PNG file of one picture of an animation, where none needs those before it.

    Args:
        content: an animated PNG file.
        number: from 0, counted as the data lie in the file.
        size_px: width and height of the animation.

    Returns:
        the file; None where a frame is a part of the picture, or is laid over the one before.

    Raises:
        ImageError: a chunk of the frame is damaged.
        struct.error: a control chunk is too short.
    """
    before: list[bytes] = []
    data: list[bytes] = []
    current: int | None = None
    for kind, start, stop in walk_chunks(content):
        if kind == b"fcTL":
            width, height, left, top = struct.unpack(">IIII", content[start + 4 : start + 20])
            if (width, height, left, top) != (*size_px, 0, 0) or content[start + 25 : stop] != _NOTHING_BELOW:
                return None
            # The first data may be a picture beside the animation, and have no control chunk.
            current = None if current is None else current + 1
        elif kind == b"IDAT":
            current = 0
        if kind in (b"IHDR", b"tRNS"):
            before.append(content[start - 8 : stop + 4])
        elif current == number and kind in (b"IDAT", b"fdAT"):
            if content[stop : stop + 4] != zlib.crc32(content[start - 4 : stop]).to_bytes(4, "big"):
                raise ImageError(f"frame {number + 1} of the PNG file is damaged (checksum)")
            data.append(content[start + 4 * (kind == b"fdAT") : stop])
    return b"".join([SIGNATURE, *before, *(encode_chunk(b"IDAT", each) for each in data), _END])
