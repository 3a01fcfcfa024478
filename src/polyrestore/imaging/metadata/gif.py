"""Blocks of GIF files: comments and XMP, and the frames of an animation.

Specification: CompuServe, Graphics Interchange Format, version 89a (1990); XMP Part 3, section 1.1.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polyrestore.imaging.metadata.extras import Extras

_HEADER_BYTES = 13
_TABLE, _TABLE_SIZE = 0x80, 0x07
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION, _CONTROL, _PLAIN_TEXT = 0xFE, 0xFF, 0xF9, 0x01
_LOOP = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_XMP = b"XMP DataXMP"
# So that a reader who takes the packet for a row of blocks comes to its end.
_XMP_END = b"\x01" + bytes(range(0xFF, -1, -1)) + b"\x00"
_TRANSPARENT = 0x01
_CLEAR_AFTERWARDS = 2 << 2


def split_gif(content: bytes) -> tuple[tuple[bytes, ...], bytes | None, tuple[str, ...]]:
    """Return the comments and the XMP packet of a GIF file, and in words what cannot be written again."""
    comments: list[bytes] = []
    xmp = None
    lost: list[str] = []
    for label, start, stop in _blocks(content):
        if label == _COMMENT:
            comments.append(_join(content, start))
        elif label == _PLAIN_TEXT:
            lost.append("a text in the picture")
        elif label == _APPLICATION:
            name = content[start + 1 : start + 12]
            if name == _XMP:
                xmp = content[start + 12 : stop].removesuffix(_XMP_END)
            elif name not in _LOOP:
                lost.append(f"data of {name.decode('latin-1').strip()}")
    return tuple(comments), xmp, tuple(dict.fromkeys(lost))


def embed_gif(content: bytes, extras: Extras) -> bytes:
    """Return a GIF file with comments and XMP before its first picture.

    Args:
        content: a GIF file of this package's making.
        extras: its ``comments`` and ``xmp`` are written.
    """
    added = b"".join(b"\x21\xfe" + _split(comment) for comment in extras.comments)
    if extras.xmp is not None:
        added += b"\x21\xff\x0b" + _XMP + extras.xmp + _XMP_END
    if not added:
        return content
    place = _after_header(content)
    return b"GIF89a" + content[6:place] + added + content[place:]


class GifAnimation:
    """Puts pictures together to an animation, one after another.

    Args:
        loops: how often it is shown; 0 for ever.
    """

    def __init__(self, loops: int) -> None:
        self._parts: list[bytes] = []
        self._loops = loops

    def add(self, picture: bytes, duration_ms: float) -> None:
        """Add a picture; the descriptions of the first one are those of the animation.

        Args:
            picture: a GIF file of one picture, as large as the first one.
            duration_ms: how long it is shown, in milliseconds.
        """
        table_size = picture[10] & _TABLE_SIZE
        table = picture[_HEADER_BYTES : _after_header(picture)]
        transparent, described, image = b"", b"", b""
        for label, start, stop in _blocks(picture):
            if label == _CONTROL:
                transparent = picture[start + 4 : start + 5] if picture[start + 1] & _TRANSPARENT else b""
            elif label == _IMAGE:
                # The palette of the file becomes that of the frame.
                flags = bytes([picture[start + 8] & ~(_TABLE | _TABLE_SIZE) | _TABLE | table_size])
                image = b"\x2c" + picture[start : start + 8] + flags + table + picture[start + 9 : stop]
            else:
                described += picture[start - 2 : stop]
        if not self._parts:
            screen = picture[6:10] + bytes([picture[10] & ~(_TABLE | _TABLE_SIZE)]) + bytes(2)
            self._parts.append(b"GIF89a" + screen)
            if self._loops != 1:
                repeats = struct.pack("<H", min(max(0, self._loops - 1), 65535))
                self._parts.append(b"\x21\xff\x0b" + _LOOP[0] + b"\x03\x01" + repeats + b"\x00")
            self._parts.append(described)
        flags = bytes([_CLEAR_AFTERWARDS | (_TRANSPARENT if transparent else 0)])
        hundredths = struct.pack("<H", min(round(duration_ms / 10), 65535))
        control = flags + hundredths + (transparent or b"\x00")
        self._parts += [b"\x21\xf9\x04" + control + b"\x00", image]

    def finish(self) -> bytes:
        """Return the file."""
        return b"".join(self._parts) + bytes([_END])


def _after_header(content: bytes) -> int:
    flags = content[10]
    return _HEADER_BYTES + (3 << ((flags & _TABLE_SIZE) + 1) if flags & _TABLE else 0)


def _blocks(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each whole block: its label, and where what follows the label begins and ends."""
    place = _after_header(content) if len(content) > _HEADER_BYTES else len(content)
    while place + 2 < len(content):
        if content[place] == _IMAGE and place + 11 < len(content):
            label, start = _IMAGE, place + 1
            flags = content[place + 9]
            data = place + 11 + (3 << ((flags & _TABLE_SIZE) + 1) if flags & _TABLE else 0)
        elif content[place] == _EXTENSION:
            label, start = content[place + 1], place + 2
            data = start
        else:
            return
        stop = _end_of(content, data)
        if stop is None:
            return
        yield label, start, stop
        place = stop


def _end_of(content: bytes, place: int) -> int | None:
    """Return what is behind a row of sub-blocks; None where it is cut short."""
    while place < len(content):
        if not content[place]:
            return place + 1
        place += 1 + content[place]
    return None


def _join(content: bytes, place: int) -> bytes:
    found = b""
    while content[place]:
        found += content[place + 1 : place + 1 + content[place]]
        place += 1 + content[place]
    return found


def _split(data: bytes) -> bytes:
    parts = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\x00"
