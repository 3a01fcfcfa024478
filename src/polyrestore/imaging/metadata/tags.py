"""Tags of TIFF directories: all are written again but those that say how or where the old pixels were stored.

Specification: TIFF 6.0; TIFF/EP (ISO 12234-2); Adobe Photoshop TIFF Technical Notes.
"""

from __future__ import annotations

import struct

from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from polyrestore.imaging.metadata.extras import Extras, TiffTag
from polyrestore.imaging.metadata.photoshop import join_resources

XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 700, 33723, 34377
REDUCED_PAGE, MASK_PAGE = 1, 4
_KIND_OF_PAGE, _OLD_KIND_OF_PAGE = 254, 255
_BYTE, _ASCII, _UNDEFINED, _IFD = 1, 2, 7, 13
# How and where samples are stored, which every writer decides for itself.
_STORAGE = frozenset(
    (
        *range(254, 260),
        *(262, 263, 264, 265, 266, 273, 277, 278, 279, 284, 288, 289, 290, 291, 292, 293, 317),
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
_BIG_TIFF = 43
_VALUE_BYTES = dict(zip((*range(1, 14), 16, 17), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8), strict=True))
_IPTC_START = b"\x1c"
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
                value = directory[number]
                # Pillow takes the bytes of a text for Latin-1, and would write ASCII alone.
                text = isinstance(value, str) and kind == _ASCII
                kept.append(TiffTag(number, kind, value.encode("latin-1", "replace") if text else value))
            except Exception:
                # Values that lie outside of the file.
                lost.append(f"tag {number}, which is damaged")
    return tuple(kept), list(dict.fromkeys(lost))


def read_block(content: bytes, page_number: int, number: int) -> bytes | None:
    """Return the bytes of a tag as they are in the file, whatever the type they are declared to have.

    Pillow takes the first of several numbers where one is expected, and so loses IPTC that is declared as
    long numbers.

    Args:
        content: the file's bytes.
        page_number: from 0, in the order of the file's directories.
        number: of the tag.
    """
    try:
        return _find_block(content, page_number, number)
    except (struct.error, KeyError):
        # A directory that Pillow could read in another way.
        return None


def upright_iptc(block: bytes) -> bytes:
    """Return IPTC that a writer of the other byte order may have swapped in fours, without padding."""
    swapped = b"".join(block[at : at + 4][::-1] for at in range(0, len(block), 4))
    starts = not block.startswith(_IPTC_START) and swapped.startswith(_IPTC_START)
    return (swapped if starts else block).rstrip(b"\x00")


def _find_block(content: bytes, page_number: int, number: int) -> bytes | None:
    order = "<" if content[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", content, 2)
    big = version == _BIG_TIFF
    counts, entry, offsets = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    entry_bytes, inline = (20, 8) if big else (12, 4)
    (place,) = struct.unpack_from(order + offsets, content, 8 if big else 4)
    for _ in range(page_number):
        (count,) = struct.unpack_from(order + counts, content, place)
        after = place + struct.calcsize(order + counts) + count * entry_bytes
        (place,) = struct.unpack_from(order + offsets, content, after)
    (count,) = struct.unpack_from(order + counts, content, place)
    first = place + struct.calcsize(order + counts)
    for at in range(first, first + count * entry_bytes, entry_bytes):
        found, kind, values = struct.unpack_from(order + entry, content, at)
        if found != number:
            continue
        size = _VALUE_BYTES[kind] * values
        at += struct.calcsize(order + entry)
        start = at if size <= inline else struct.unpack_from(order + offsets, content, at)[0]
        return content[start : start + size] if start + size <= len(content) else None
    return None


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
