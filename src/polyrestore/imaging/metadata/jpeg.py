"""Segments of JPEG files: XMP, IPTC and comments, and what lies behind the end of the picture.

Specification: ITU-T T.81, annex B; ISO 16684-3 (XMP in JPEG); CIPA DC-007 (Multi-Picture Format).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from polyrestore.imaging.metadata.extras import Extras
from polyrestore.imaging.metadata.photoshop import IPTC, Resource, join_resources, split_resources

XMP_START = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENSION_START = b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP_START = b"Photoshop 3.0\x00"
_LONGEST_SEGMENT = 65533
LONGEST_XMP = _LONGEST_SEGMENT - len(XMP_START)
_EXTENSION_PART = 65400
_DUCKY_QUALITY_BYTES = 15
_LARGEST_EXTENSION = 1 << 28
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_START_OF_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
# What Pillow reads, or what only says how this file is made.
_READ_ELSEWHERE = (
    (0xE0, b"JFIF\x00"),
    (0xE1, b"Exif\x00"),
    (0xE2, b"ICC_PROFILE\x00"),
    (0xEE, b"Adobe"),
)
_KNOWN_PARTS = (
    (0xE0, b"JFXX\x00", "a JFIF thumbnail of the old picture"),
    (0xE2, b"MPF\x00", ""),
    (0xE2, b"urn:iso:std:iso:ts:21496", "the description of a gain map"),
    (0xE2, b"FPXR\x00", "FlashPix data"),
    (0xEB, b"", "content credentials, which vouch for the old file"),
)


@dataclass(frozen=True)
class JpegParts:
    """What the segments of a JPEG file hold, and what follows the picture.

    Attributes:
        xmp: the XMP packet.
        xmp_extension: its second part.
        resources: image resources of Photoshop, IPTC among them.
        comments: each as it is.
        lost: what cannot be written again, in words.
        behind: what lies behind the end of the picture, in words; None where there is nothing.
    """

    xmp: bytes | None
    xmp_extension: bytes | None
    resources: tuple[Resource, ...]
    comments: tuple[bytes, ...]
    lost: tuple[str, ...]
    behind: str | None


def split_jpeg(content: bytes) -> JpegParts:
    """Return what a JPEG file holds beside its picture; a file that is cut short is read as far as it goes.

    Args:
        content: a file that begins as JPEG files do.
    """
    xmp: bytes | None = None
    extension: dict[bytes, dict[int, bytes]] = {}
    photoshop: list[bytes] = []
    comments: list[bytes] = []
    lost: list[str] = []
    end = None
    for marker, data, place in _segments(content):
        if marker == _END:
            end = place
        elif marker == _COMMENT:
            comments.append(data)
        elif marker == 0xE1 and data.startswith(XMP_START):
            xmp = data[len(XMP_START) :] if xmp is None else xmp
        elif marker == 0xE1 and data.startswith(_EXTENSION_START) and len(data) >= 75:
            head = len(_EXTENSION_START)
            (offset,) = struct.unpack_from(">I", data, head + 36)
            extension.setdefault(data[head : head + 36], {})[offset] = data[head + 40 :]
        elif marker == 0xED and data.startswith(_PHOTOSHOP_START):
            photoshop.append(data[len(_PHOTOSHOP_START) :])
        elif 0xE0 <= marker <= 0xEF:
            lost += _describe_segment(marker, data)
    resources, told = _read_resources(b"".join(photoshop))
    joined, told_too = _join_extension(extension, xmp)
    return JpegParts(
        xmp,
        joined,
        resources,
        tuple(comments),
        tuple(dict.fromkeys([*lost, *told, *told_too])),
        None if end is None else describe_trailer(content, end),
    )


def embed_jpeg(content: bytes, extras: Extras) -> bytes:
    """Return a JPEG file with XMP, IPTC and comments added behind the segments that it begins with.

    Args:
        content: a JPEG file of this package's making.
        extras: its ``xmp``, ``xmp_extension``, ``iptc``, ``photoshop``, ``comments`` and ``aspect`` are
            written; the packet is at most :data:`LONGEST_XMP` bytes.
    """
    added: list[bytes] = []
    if extras.xmp is not None:
        added.append(_segment(0xE1, XMP_START + extras.xmp))
    if extras.xmp_extension is not None:
        added += _extension_segments(extras.xmp_extension)
    resources = [*extras.photoshop]
    if extras.iptc is not None:
        resources.insert(0, (IPTC, b"", extras.iptc))
    if block := join_resources(resources):
        room = _LONGEST_SEGMENT - len(_PHOTOSHOP_START)
        added += [
            _segment(0xED, _PHOTOSHOP_START + block[start : start + room])
            for start in range(0, len(block), room)
        ]
    added += [_segment(_COMMENT, comment) for comment in extras.comments]
    if extras.aspect is not None and content[2:4] == b"\xff\xe0":
        content = content[:13] + struct.pack(">BHH", 0, *_densities(extras.aspect)) + content[18:]
    if not added:
        return content
    place = 2
    while content[place : place + 1] == b"\xff" and 0xE0 <= content[place + 1] <= 0xEF:
        place += 2 + struct.unpack_from(">H", content, place + 2)[0]
    return b"".join([content[:place], *added, content[place:]])


def describe_trailer(content: bytes, end: int) -> str | None:
    """Return in words what lies behind the end of a picture, None where there is nothing but padding.

    Args:
        content: a JPEG file.
        end: the first byte behind the end of the picture.
    """
    rest = content[end:]
    if not rest.strip(b"\x00\xff \r\n\t"):
        return None
    found = []
    # The signature of each format, where a part begins: MPF, Motion Photo and Samsung put them one by one.
    if pictures := len(re.findall(rb"\xff\xd8\xff[\xe0-\xef\xdb]", rest)):
        found.append("1 further picture" if pictures == 1 else f"{pictures} further pictures")
    if re.search(rb"\x00\x00\x00[\x08-\xff]ftyp", rest):
        found.append("a video")
    what = " and ".join(found) or "data of an unknown kind"
    return f"{what} behind the end of the picture ({len(rest)} bytes)"


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield each segment up to the end of the picture: its marker, its data, and where it ends."""
    place = 2
    while True:
        while content[place : place + 2] == b"\xff\xff":
            place += 1
        head = content[place : place + 4]
        if len(head) < 2 or head[0] != 0xFF:
            return
        marker = head[1]
        if marker == _END:
            yield marker, b"", place + 2
            return
        if marker in _STANDALONE:
            place += 2
            continue
        if len(head) < 4:
            return
        length = int.from_bytes(head[2:], "big")
        data, place = content[place + 4 : place + 2 + length], place + 2 + length
        yield marker, data, place
        if marker == _START_OF_SCAN:
            following = _AFTER_SCAN.search(content, place)
            if following is None:
                return
            place = following.start()


def _describe_segment(marker: int, data: bytes) -> list[str]:
    if any(marker == known and data.startswith(start) for known, start in _READ_ELSEWHERE):
        return []
    if marker == 0xEC and data.startswith(b"Ducky") and len(data) <= _DUCKY_QUALITY_BYTES:
        # How strongly the old pixels were compressed, and no more.
        return []
    for known, start, what in _KNOWN_PARTS:
        if marker == known and data.startswith(start):
            return [what] if what else []
    owner = re.match(rb"[\x20-\x7e]{0,24}", data)
    name = owner.group().decode("ascii").strip() if owner else ""
    return [f"the segment APP{marker - 0xE0}" + (f" ({name})" if name else "")]


def _read_resources(block: bytes) -> tuple[tuple[Resource, ...], list[str]]:
    try:
        return tuple(split_resources(block)), []
    except ValueError:
        return (), ["damaged image resources of Photoshop"]


def _join_extension(
    parts: dict[bytes, dict[int, bytes]], xmp: bytes | None
) -> tuple[bytes | None, list[str]]:
    """Return the second part of the packet that the first one names, where all of it is there."""
    for head, by_offset in parts.items():
        identity, (length,) = head[:32], struct.unpack(">I", head[32:])
        whole = b"".join(by_offset[offset] for offset in sorted(by_offset))
        if xmp is None or identity not in xmp or len(whole) != length or length > _LARGEST_EXTENSION:
            continue
        if hashlib.md5(whole, usedforsecurity=False).hexdigest().upper().encode() == identity:
            return whole, []
    return None, ["a damaged second part of XMP"] if parts else []


def _extension_segments(extension: bytes) -> list[bytes]:
    identity = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    head = _EXTENSION_START + identity + struct.pack(">I", len(extension))
    return [
        _segment(0xE1, head + struct.pack(">I", start) + extension[start : start + _EXTENSION_PART])
        for start in range(0, len(extension), _EXTENSION_PART)
    ]


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _densities(aspect: tuple[float, float]) -> tuple[int, int]:
    return max(1, min(65535, round(aspect[0]))), max(1, min(65535, round(aspect[1])))
