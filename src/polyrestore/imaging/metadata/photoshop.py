"""Image resources of Photoshop, the container in which JPEG and TIFF files hold IPTC.

Specification: Adobe Photoshop File Formats Specification (November 2019), "Image Resource Blocks".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Resource = tuple[int, bytes, bytes]
"""The number of a resource, its name, and its bytes."""

IPTC = 0x0404
_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_THUMBNAILS = (0x0409, 0x040C)
# EXIF, XMP and the colour profile have places of their own in every format that holds image resources.
_ELSEWHERE = (0x0422, 0x0423, 0x0424, 0x040F)
# Guides, slices, paths and the name of the clipping path lie at places in the picture.
_PLACES = (0x0408, 0x041A, 0x0BB7, *range(0x07D0, 0x0BB7))


def split_resources(block: bytes) -> list[Resource]:
    """Return the resources of a block, in their order.

    Raises:
        ValueError: the block is no sequence of resources.
    """
    found: list[Resource] = []
    place = 0
    # Some writers pad the block with zeros.
    while block[place:].strip(b"\x00"):
        head = block[place : place + 7]
        if len(head) < 7 or head[:4] not in _SIGNATURES:
            raise ValueError("not a sequence of image resources")
        (number,) = struct.unpack(">H", head[4:6])
        name = block[place + 7 : place + 7 + head[6]]
        place += 6 + _even(1 + head[6])
        length_field = block[place : place + 4]
        if len(length_field) < 4:
            raise ValueError("an image resource is cut short")
        (length,) = struct.unpack(">I", length_field)
        data = block[place + 4 : place + 4 + length]
        if len(data) < length:
            raise ValueError("an image resource is cut short")
        found.append((number, name, data))
        place += 4 + _even(length)
    return found


def join_resources(resources: Iterable[Resource]) -> bytes:
    """Return the block that :func:`split_resources` takes apart."""
    parts = []
    for number, name, data in resources:
        head = b"8BIM" + struct.pack(">HB", number, len(name)) + name
        parts += [head, bytes(_even(1 + len(name)) - 1 - len(name))]
        parts += [struct.pack(">I", len(data)), data, bytes(len(data) % 2)]
    return b"".join(parts)


def sort_resources(
    resources: Iterable[Resource], *, turned: bool
) -> tuple[bytes | None, tuple[Resource, ...], list[str]]:
    """Return the IPTC of a block, the other resources that stay true, and what the rest was.

    Args:
        resources: from :func:`split_resources`.
        turned: True when the pixels have been turned, so that places in the picture are not what they were.
    """
    iptc: bytes | None = None
    kept: list[Resource] = []
    lost: list[str] = []
    for resource in resources:
        number = resource[0]
        if number == IPTC:
            iptc = resource[2]
        elif number in _THUMBNAILS:
            lost.append("a Photoshop thumbnail of the old picture")
        elif turned and number in _PLACES:
            lost.append("Photoshop paths, guides or slices of the picture before it was turned")
        elif number not in _ELSEWHERE:
            kept.append(resource)
    return iptc, tuple(kept), list(dict.fromkeys(lost))


def _even(length: int) -> int:
    return length + length % 2
