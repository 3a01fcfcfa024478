"""Boxes of JPEG 2000 files: XMP and IPTC, which have boxes of their own behind the picture.

Specification: ISO/IEC 15444-1, annex I; the identifiers of XMP and IPTC are those of Adobe and ExifTool.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polyrestore.imaging.metadata.extras import Extras

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
# How the picture is stored, and its resolution and profile.
_PICTURE = (b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"rreq")


def split_jpeg2000(content: bytes) -> tuple[bytes | None, bytes | None, tuple[str, ...]]:
    """Return XMP, IPTC, and the kinds of the boxes that cannot be written again."""
    xmp = iptc = None
    lost: list[str] = []
    for kind, data in _boxes(content):
        if kind == b"uuid" and data[:16] == _XMP:
            xmp = data[16:]
        elif kind == b"uuid" and data[:16] == _IPTC:
            iptc = data[16:]
        elif kind not in _PICTURE:
            lost.append(
                "EXIF" if data[:16] == b"JpgTiffExif->JP2" else f"box {kind.decode('latin-1').strip()}"
            )
    return xmp, iptc, tuple(dict.fromkeys(lost))


def embed_jpeg2000(content: bytes, extras: Extras) -> bytes:
    """Return a JPEG 2000 file with XMP and IPTC behind its picture.

    Args:
        content: a file of this package's making.
        extras: its ``xmp`` and ``iptc`` are written.
    """
    blocks = [(_XMP, extras.xmp), (_IPTC, extras.iptc)]
    added = [identity + block for identity, block in blocks if block is not None]
    return content + b"".join(struct.pack(">I", 8 + len(data)) + b"uuid" + data for data in added)


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each box; a bare codestream has none."""
    place = 0 if content.startswith(_SIGNATURE) else len(content)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        start = place + 8
        if length == 1 and place + 16 <= len(content):
            (length,) = struct.unpack_from(">Q", content, start)
            start += 8
        if length == 0:
            # The last one goes on to the end of the file.
            length = len(content) - place
        if length < start - place:
            return
        yield kind, content[start : place + length]
        place += length
