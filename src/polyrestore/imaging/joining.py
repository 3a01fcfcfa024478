"""Pictures put together to one file: pages to a TIFF file, frames to an animation, one after another.

Specifications: TIFF 6.0, section 2; W3C Portable Network Graphics, third edition (2025), section 11.3.4.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction

from polyrestore.errors import OutputError
from polyrestore.imaging.image import Frame, ImageMetadata
from polyrestore.imaging.metadata.gif import GifAnimation
from polyrestore.imaging.metadata.png import SIGNATURE, encode_chunk
from polyrestore.imaging.metadata.webp import WebpAnimation

_TIFF_LIMIT = 2**32 - 1
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_DEEPER = (34665, 34853, 40965)
_SEVERAL_PAGES = 254
_LONGEST_FRACTION = 65535


class Joiner(ABC):
    """Takes files of one picture each, and gives one file of them all."""

    @abstractmethod
    def add(self, picture: bytes, metadata: ImageMetadata, width: int, height: int) -> None:
        """Take the next picture.

        Args:
            picture: a file of the joined format, of this package's making.
            metadata: that it was written with.
            width: in pixels.
            height: in pixels.

        Raises:
            OutputError: it does not fit to the ones before.
        """

    @abstractmethod
    def finish(self) -> bytes:
        """Return the file."""


class TiffJoiner(Joiner):
    """Joins pages, each with a size, mode and descriptions of its own."""

    def __init__(self) -> None:
        self._content = bytearray(b"II*\x00\x08\x00\x00\x00")
        self._pointer = 4

    def add(self, picture: bytes, metadata: ImageMetadata, width: int, height: int) -> None:
        """Take the next page."""
        start = len(self._content)
        delta = start - 8
        if start + len(picture) > _TIFF_LIMIT:
            raise OutputError("the pages together need more than the 4 GB that a TIFF file can hold")
        page = bytearray(picture)
        _move_directory(page, 8, delta)
        struct.pack_into("<I", self._content, self._pointer, start)
        self._content += page[8:] + bytes(len(page) % 2)
        (count,) = struct.unpack_from("<H", page, 8)
        self._pointer = start + 2 + 12 * count

    def finish(self) -> bytes:
        """Return the file."""
        return bytes(self._content)


class PngJoiner(Joiner):
    """Joins frames of one size and mode to an animated PNG."""

    def __init__(self) -> None:
        self._header = b""
        self._first: list[tuple[bytes, bytes]] = []
        self._last: list[tuple[bytes, bytes]] = []
        self._frames: list[tuple[bytes, bytes]] = []
        self._shown = 0
        self._sequence = 0
        self._loops = 0

    def add(self, picture: bytes, metadata: ImageMetadata, width: int, height: int) -> None:
        """Take the next frame."""
        chunks = list(_png_chunks(picture))
        first = not self._header
        frame = metadata.frame or Frame()
        if first:
            self._header = chunks[0][1]
            pixels = next(index for index, (kind, _) in enumerate(chunks) if kind == b"IDAT")
            self._first = [chunk for chunk in chunks[1:pixels] if chunk[0] != b"IDAT"]
            self._last = [chunk for chunk in chunks[pixels:-1] if chunk[0] != b"IDAT"]
            self._loops = frame.loops
        elif chunks[0][1] != self._header:
            raise OutputError("an animated PNG cannot hold frames of differing sizes or modes")
        if frame.shown:
            seconds = Fraction(max(0.0, frame.duration_ms) / 1000).limit_denominator(1000)
            seconds = min(seconds, Fraction(_LONGEST_FRACTION))
            if seconds.numerator > _LONGEST_FRACTION:
                seconds = Fraction(round(seconds))
            control = struct.pack(
                ">IIIIIHHBB", self._next(), width, height, 0, 0, seconds.numerator, seconds.denominator, 0, 0
            )
            self._frames.append((b"fcTL", control))
            self._shown += 1
        for kind, data in chunks:
            if kind == b"IDAT":
                named = (kind, data) if first else (b"fdAT", struct.pack(">I", self._next()) + data)
                self._frames.append(named)

    def finish(self) -> bytes:
        """Return the file."""
        control = (b"acTL", struct.pack(">II", self._shown, self._loops))
        chunks = [(b"IHDR", self._header), control, *self._first, *self._frames, *self._last, (b"IEND", b"")]
        return SIGNATURE + b"".join(encode_chunk(kind, data) for kind, data in chunks)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1


class WebpJoiner(Joiner):
    """Joins frames of one size to an animated WebP file."""

    def __init__(self) -> None:
        self._animation: WebpAnimation | None = None
        self._size = (0, 0)

    def add(self, picture: bytes, metadata: ImageMetadata, width: int, height: int) -> None:
        """Take the next frame."""
        frame = metadata.frame or Frame()
        if self._animation is None:
            red, green, blue, alpha = frame.background
            self._animation = WebpAnimation(frame.loops, bytes([blue, green, red, alpha]))
            self._size = (width, height)
        if (width, height) != self._size:
            raise OutputError("an animated WebP file cannot hold frames of differing sizes")
        self._animation.add(picture, width, height, round(frame.duration_ms))

    def finish(self) -> bytes:
        """Return the file."""
        if self._animation is None:
            raise OutputError("an animation needs a frame")
        return self._animation.finish()


class GifJoiner(Joiner):
    """Joins frames of one size to an animated GIF file."""

    def __init__(self) -> None:
        self._animation: GifAnimation | None = None
        self._size = (0, 0)

    def add(self, picture: bytes, metadata: ImageMetadata, width: int, height: int) -> None:
        """Take the next frame."""
        frame = metadata.frame or Frame()
        if self._animation is None:
            self._animation = GifAnimation(frame.loops)
            self._size = (width, height)
        if (width, height) != self._size:
            raise OutputError("an animated GIF file cannot hold frames of differing sizes")
        self._animation.add(picture, frame.duration_ms)

    def finish(self) -> bytes:
        """Return the file."""
        if self._animation is None:
            raise OutputError("an animation needs a frame")
        return self._animation.finish()


def _move_directory(page: bytearray, directory: int, delta: int) -> None:
    """Change all places that a little-endian directory names, and those below it, by a number of bytes."""
    (count,) = struct.unpack_from("<H", page, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack_from("<HHII", page, entry)
        size = _VALUE_BYTES[kind] * values
        place = value if size > 4 else entry + 8
        if tag in (_STRIP_OFFSETS, _TILE_OFFSETS):
            for at in range(place, place + 4 * values, 4):
                (offset,) = struct.unpack_from("<I", page, at)
                struct.pack_into("<I", page, at, offset + delta)
        elif tag in _DEEPER:
            _move_directory(page, value, delta)
        if size > 4 or tag in _DEEPER:
            struct.pack_into("<I", page, entry + 8, value + delta)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length
