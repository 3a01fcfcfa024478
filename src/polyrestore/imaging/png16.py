"""PNG with 16 bits per channel, because Pillow reduces 16-bit colour to 8 bits.

Specification: W3C Portable Network Graphics, third edition (2025), sections 5, 9 and 11. Interlaced files are
left to Pillow.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyrestore.errors import ImageError
from polyrestore.imaging.bands import bands_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_COLOUR_TYPES = {channels: colour_type for colour_type, channels in _CHANNELS.items()}
_IDAT_BYTES = 1 << 20
_PAETH = 4


@dataclass(frozen=True)
class PngHeader:
    """The fields of the IHDR chunk that decide who decodes a file."""

    width: int
    height: int
    bit_depth: int
    colour_type: int
    interlaced: bool


def read_header(content: bytes, name: str | Path) -> PngHeader:
    """Return the header of a PNG file.

    Args:
        content: the file's bytes.
        name: what messages call it.

    Raises:
        ImageError: the file does not start with a PNG header.
    """
    start = content[:29]
    if len(start) < 29 or start[:8] != SIGNATURE or start[12:16] != b"IHDR":
        raise ImageError(f"{name}: the PNG header is damaged")
    width, height, bit_depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", start[16:29])
    return PngHeader(width, height, bit_depth, colour_type, interlace != 0)


def read_png16(content: bytes, name: str | Path) -> NDArray[np.uint16]:
    """Decode a 16-bit PNG that is not interlaced.

    Args:
        content: the file's bytes.
        name: what messages call it.

    Returns:
        (H, W, C) with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); a transparent colour becomes alpha.

    Raises:
        ImageError: the file is truncated or damaged.
    """
    header = read_header(content, name)
    channels = _CHANNELS[header.colour_type]
    compressed, transparent = _read_chunks(content, name)
    pixel_bytes = 2 * channels
    row_bytes = 1 + header.width * pixel_bytes
    try:
        # The length limit keeps a small file from unpacking into more than its header announces.
        raw = zlib.decompressobj().decompress(compressed, row_bytes * header.height)
    except zlib.error as error:
        raise ImageError(f"{name}: the PNG pixel data are damaged ({error})") from error
    if len(raw) < row_bytes * header.height:
        raise ImageError(f"{name}: the PNG file is truncated")
    rows = np.frombuffer(raw, np.uint8).reshape(header.height, row_bytes)
    if rows[:, 0].max() > _PAETH:
        raise ImageError(f"{name}: the PNG file uses an unknown row filter")
    filtered = rows[:, 1:].reshape(header.height, header.width, pixel_bytes)
    samples = np.ascontiguousarray(_unfilter(rows[:, 0], filtered)).view(">u2").astype(np.uint16)
    if transparent is not None and len(transparent) == 2 * channels and channels in (1, 3):
        key = np.frombuffer(transparent, ">u2")
        opaque = np.any(samples != key, axis=2, keepdims=True)
        samples = np.concatenate([samples, opaque.astype(np.uint16) * np.uint16(65535)], axis=2)
    return samples


def encode_png16(
    samples: NDArray[np.uint16],
    *,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Return a 16-bit PNG file.

    Args:
        samples: (H, W, C) with C = 1, 2, 3 or 4 as in :func:`read_png16`.
        icc_profile: a colour profile to embed.
        exif: an EXIF block without prefix.
        dpi: pixels per inch, horizontal and vertical.
    """
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if icc_profile is not None:
        parts.append(_chunk(b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(icc_profile)))
    if dpi is not None:
        per_metre = [min(int(value / 0.0254 + 0.5), 2**31 - 1) for value in dpi]
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif is not None:
        parts.append(_chunk(b"eXIf", exif))
    compressor = zlib.compressobj(6)
    # In bands, because filtering takes many times the memory of the samples.
    compressed = (
        b"".join(compressor.compress(_filter_paeth(samples, band)) for band in bands_of(height))
        + compressor.flush()
    )
    for start in range(0, len(compressed), _IDAT_BYTES):
        parts.append(_chunk(b"IDAT", compressed[start : start + _IDAT_BYTES]))
    parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read_chunks(content: bytes, name: str | Path) -> tuple[bytes, bytes | None]:
    """Return the joined pixel data and the transparent colour, with every checksum on the way checked."""
    compressed: list[bytes] = []
    transparent: bytes | None = None
    place = len(SIGNATURE)
    while True:
        head = content[place : place + 8]
        if len(head) < 8:
            raise ImageError(f"{name}: the PNG file is truncated")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return b"".join(compressed), transparent
        start, place = place + 8, place + length + 12
        if kind not in (b"IDAT", b"tRNS"):
            continue
        chunk, checksum = content[start : start + length], content[start + length : place]
        if len(checksum) < 4:
            raise ImageError(f"{name}: the PNG file is truncated")
        if zlib.crc32(kind + chunk) != struct.unpack(">I", checksum)[0]:
            raise ImageError(f"{name}: the PNG file is damaged (checksum of {kind.decode()})")
        if kind == b"IDAT":
            compressed.append(chunk)
        else:
            transparent = chunk


def _paeth(left: NDArray[Any], above: NDArray[Any], corner: NDArray[Any]) -> NDArray[Any]:
    """Predict bytes from int16 neighbours (W3C PNG, section 9.4): the neighbour nearest to their plane."""
    to_left = np.abs(above - corner)
    to_above = np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    nearest = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)


def _unfilter(filters: NDArray[np.uint8], filtered: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the five row filters of (H, W, bytes per pixel), one diagonal at a time.

    A pixel needs its left, upper and upper left neighbours only. All pixels of an anti-diagonal are therefore
    independent of each other, and one array operation serves them where a plain decoder loops over bytes.
    In a buffer with one row and one column of padding, an anti-diagonal is a slice whose step is the width.
    """
    height, width, pixel_bytes = filtered.shape
    pitch = width + 1
    padded = np.zeros((height + 1, pitch, pixel_bytes), np.uint8)
    padded[1:, 1:] = filtered
    flat = padded.reshape(-1, pixel_bytes)
    kinds = filters.astype(np.intp)[:, None]
    for diagonal in range(height + width - 1):
        first_row = max(0, diagonal - width + 1)
        count = min(height - 1, diagonal) - first_row + 1
        start = (first_row + 1) * pitch + diagonal - first_row + 1
        span = (count - 1) * width + 1

        current = flat[start : start + span : width]
        left = flat[start - 1 : start - 1 + span : width].astype(np.int16)
        above = flat[start - pitch : start - pitch + span : width].astype(np.int16)
        corner = flat[start - pitch - 1 : start - pitch - 1 + span : width].astype(np.int16)
        kind = kinds[first_row : first_row + count]
        predictions = (np.zeros_like(left), left, above, (left + above) >> 1, _paeth(left, above, corner))
        current += np.choose(kind, predictions).astype(np.uint8)
    return padded[1:, 1:]


def _filter_paeth(samples: NDArray[np.uint16], band: slice) -> bytes:
    """Return the filtered bytes of some rows, which depend on the row above them."""
    height, (width, channels) = band.stop - band.start, samples.shape[1:]
    above = min(band.start, 1)
    part = samples[band.start - above : band.stop].astype(">u2")
    padded = np.zeros((height + 1, width + 1, 2 * channels), np.int16)
    padded[1 - above :, 1:] = part.view(np.uint8).reshape(height + above, width, 2 * channels)
    predicted = _paeth(padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1])
    rows = np.full((height, 1 + width * 2 * channels), _PAETH, np.uint8)
    rows[:, 1:] = (padded[1:, 1:] - predicted).astype(np.uint8).reshape(height, -1)
    return rows.tobytes()
