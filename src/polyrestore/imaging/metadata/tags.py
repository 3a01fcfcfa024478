"""Tags of TIFF directories: all are written again but those that say how or where the old pixels were stored.

Specification: TIFF 6.0; TIFF/EP (ISO 12234-2); Adobe Photoshop TIFF Technical Notes.
"""

from __future__ import annotations

import struct
from typing import Any

from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from polyrestore.imaging.metadata.extras import Extras, TiffTag
from polyrestore.imaging.metadata.photoshop import join_resources

XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 700, 33723, 34377
REDUCED_PAGE, MASK_PAGE = 1, 4
_KIND_OF_PAGE, _OLD_KIND_OF_PAGE = 254, 255
_BYTE, _LONG, _UNDEFINED, _IFD = 1, 4, 7, 13
# How and where samples are stored, which every writer decides for itself.
_STORAGE = frozenset(
    (
        *range(254, 260),
        *(262, 263, 264, 265, 266, 273, 277, 278, 279, 284, 288, 289, 290, 291, 292, 293, 297, 317),
        *(320, 321, *range(322, 329), 332, 333, 334, 336, 338, 339, 342, 347, *range(512, 522), 559),
        *(529, 530, 531, 532, 32781, 32995, 32996, 32997, 32998, 34016, 34232),
    )
)
# Read in other ways: orientation, resolution, profile, EXIF, GPS, XMP, IPTC, Photoshop.
_ELSEWHERE = frozenset((274, 282, 283, 296, 34675, 34665, 34853, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG))
_UNTRUE = {
    280: "the range of the old values",
    281: "the range of the old values",
    340: "the range of the old values",
    341: "the range of the old values",
    330: "previews and reduced copies (SubIFDs)",
    400: "fax parameters",
    40965: "",
    37724: "Photoshop layers of the old picture",
}
_COLOURS = frozenset((301, 318, 319))


def read_tags_to_keep(
    directory: ImageFileDirectory_v2, read_elsewhere: frozenset[int], *, keeps_colours: bool
) -> tuple[tuple[TiffTag, ...], list[str]]:
    """Return the tags of a page that are written again, and in words what the others were.

    Args:
        directory: of the page.
        read_elsewhere: tags that are kept in another way.
        keeps_colours: False when the samples are not the colours that the directory describes any more.
    """
    kept: list[TiffTag] = []
    lost: list[str] = []
    for number in sorted(directory):
        if number in _STORAGE or number in _ELSEWHERE or number in read_elsewhere:
            continue
        kind = directory.tagtype.get(number, _UNDEFINED)
        if number in _UNTRUE:
            lost += [_UNTRUE[number]] if _UNTRUE[number] else []
        elif kind == _IFD or (number in _COLOURS and not keeps_colours):
            lost.append(f"tag {number}")
        else:
            try:
                kept.append(TiffTag(number, kind, directory[number]))
            except Exception:
                # Values that lie outside of the file.
                lost.append(f"tag {number}, which is damaged")
    return tuple(kept), list(dict.fromkeys(lost))


def read_bytes(directory: ImageFileDirectory_v2, number: int) -> bytes | None:
    """Return the bytes of a tag, whatever the type they were declared to have; None without it."""
    value: Any = directory.get(number)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    values = value if isinstance(value, tuple) else (value,)
    if value is None or not all(isinstance(each, int) for each in values):
        return None
    if directory.tagtype.get(number) == _LONG:
        # Some writers declare IPTC as long numbers, and let readers with another byte order swap them.
        order = "<" if directory._endian == "<" else ">"
        return struct.pack(f"{order}{len(values)}I", *values).rstrip(b"\x00")
    return bytes(each & 0xFF for each in values)


def add_to_directory(directory: ImageFileDirectory_v2, extras: Extras) -> None:
    """Put XMP, IPTC, image resources, tags and a resolution without a unit into a directory to be written."""
    for tag in extras.tags:
        # A tag that came with EXIF as well has the value of that.
        if tag.number not in directory:
            directory.tagtype[tag.number] = tag.kind
            directory[tag.number] = tag.value
    blocks = (
        (XMP_TAG, _BYTE, extras.xmp),
        (IPTC_TAG, _UNDEFINED, extras.iptc),
        (PHOTOSHOP_TAG, _BYTE, join_resources(extras.photoshop) or None),
    )
    for number, kind, block in blocks:
        if block is not None:
            directory.tagtype[number] = kind
            directory[number] = block
    if extras.aspect is not None and 282 not in directory:
        directory[282], directory[283] = (IFDRational(value) for value in extras.aspect)
        directory[296] = 1


def kind_of_page(directory: ImageFileDirectory_v2) -> int:
    """Return the bits that say whether a page is a reduced copy or a mask of another one, 0 for a page."""
    bits = directory.get(_KIND_OF_PAGE, 0)
    reduced = directory.get(_OLD_KIND_OF_PAGE) == 2
    return (int(bits) if isinstance(bits, int) else 0) | (REDUCED_PAGE if reduced else 0)
