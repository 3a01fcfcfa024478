"""Chunks of WebP files: XMP, and the frames of an animation.

Specification: WebP Container Specification (RFC 9649), section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polyrestore.imaging.metadata.extras import Extras

_KNOWN = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
_PICTURE = (b"ALPH", b"VP8 ", b"VP8L")
_XMP_FLAG, _EXIF_FLAG, _ALPHA_FLAG, _ICC_FLAG, _ANIMATION_FLAG = 0x04, 0x08, 0x10, 0x20, 0x02
_NO_BLENDING = 0x02


def split_webp(content: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the XMP packet of a WebP file, and the chunks that cannot be written again."""
    xmp = None
    lost: list[str] = []
    for kind, data in webp_chunks(content):
        if kind == b"XMP ":
            xmp = data
        elif kind not in _KNOWN:
            lost.append(kind.decode("latin-1").strip())
    return xmp, tuple(dict.fromkeys(lost))


def embed_webp(content: bytes, extras: Extras, width: int, height: int, *, alpha: bool) -> bytes:
    """Return a WebP file with XMP.

    Args:
        content: a WebP file of one picture, of this package's making.
        extras: its ``xmp`` is written.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        alpha: True when the picture has an alpha channel.
    """
    if extras.xmp is None:
        return content
    chunks = list(webp_chunks(content))
    flags = _XMP_FLAG | (_ALPHA_FLAG if alpha else 0)
    if chunks[0][0] == b"VP8X":
        flags |= chunks.pop(0)[1][0]
    return join_webp([(b"VP8X", _extended(flags, width, height)), *chunks, (b"XMP ", extras.xmp)])


def webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each chunk of a WebP file."""
    stop = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    place = 12
    while place + 8 <= stop:
        kind, length = struct.unpack_from("<4sI", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def join_webp(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return the file of the given chunks."""
    body = b"WEBP" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


class WebpAnimation:
    """Puts pictures together to an animation, one after another.

    Args:
        loops: how often it is shown; 0 for ever.
        background: of the canvas, as blue, green, red and alpha.
    """

    def __init__(self, loops: int, background: bytes = bytes(4)) -> None:
        self._animation = background + struct.pack("<H", min(loops, 65535))
        self._frames: list[tuple[bytes, bytes]] = []
        self._described: list[tuple[bytes, bytes]] = []
        self._flags = _ANIMATION_FLAG
        self._size = (0, 0)

    def add(self, picture: bytes, width: int, height: int, duration_ms: int) -> None:
        """Add a picture; the descriptions of the first one are those of the animation.

        Args:
            picture: a WebP file of one picture, as large as the first one.
            width: in pixels.
            height: in pixels.
            duration_ms: how long it is shown, in milliseconds.
        """
        chunks = list(webp_chunks(picture))
        if not self._frames:
            self._size = (width, height)
            self._described = [chunk for chunk in chunks if chunk[0] in (b"ICCP", b"EXIF", b"XMP ")]
        if chunks[0][0] == b"VP8X":
            self._flags |= chunks[0][1][0] & _ALPHA_FLAG
        elif chunks[0][0] == b"VP8L":
            # The bit behind signature, width and height says whether alpha is used.
            self._flags |= _ALPHA_FLAG if chunks[0][1][4] & 0x10 else 0
        geometry = bytes(6) + _three(width - 1) + _three(height - 1) + _three(min(duration_ms, 0xFFFFFF))
        body = b"".join(_chunk(kind, data) for kind, data in chunks if kind in _PICTURE)
        self._frames.append((b"ANMF", geometry + bytes([_NO_BLENDING]) + body))

    def finish(self) -> bytes:
        """Return the file."""
        by_kind = dict(self._described)
        flags = self._flags
        for kind, flag in ((b"ICCP", _ICC_FLAG), (b"EXIF", _EXIF_FLAG), (b"XMP ", _XMP_FLAG)):
            flags |= flag if kind in by_kind else 0
        first = [(b"VP8X", _extended(flags, *self._size))]
        first += [(b"ICCP", by_kind[b"ICCP"])] if b"ICCP" in by_kind else []
        last = [(kind, by_kind[kind]) for kind in (b"EXIF", b"XMP ") if kind in by_kind]
        return join_webp([*first, (b"ANIM", self._animation), *self._frames, *last])


def _extended(flags: int, width: int, height: int) -> bytes:
    return bytes([flags, 0, 0, 0]) + _three(width - 1) + _three(height - 1)


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
