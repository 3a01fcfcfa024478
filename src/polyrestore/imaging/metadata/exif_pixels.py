"""What an EXIF block says about its pixels, set right in place: sizes, the subject, the thumbnail.

Everything else stays where it is, because maker notes hold absolute offsets. Specification: CIPA DC-008
(Exif 3.0).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from polyrestore.imaging.exif import ORIENTATION_TAG

_ENTRY_BYTES = 12
_SHORT, _LONG = 3, 4
_EXIF_DIRECTORY = 0x8769
_INTEROPERABILITY_DIRECTORY = 0xA005
# Where each directory holds widths and heights of the picture.
_MAIN_WIDTHS, _MAIN_HEIGHTS = (0x0100,), (0x0101,)
_WIDTHS, _HEIGHTS = (0xA002, 0x1001), (0xA003, 0x1002)
_SUBJECT_TAGS = (0x9214, 0xA214)
_THUMBNAIL_START, _THUMBNAIL_LENGTH = 0x0201, 0x0202


class ExifBlock:
    """A TIFF structure without the "Exif" prefix, whose entries can be changed in place.

    Attributes:
        content: the bytes.

    Raises:
        ValueError: the block does not begin as a TIFF structure does.
    """

    def __init__(self, exif: bytes) -> None:
        order = {b"II": "<", b"MM": ">"}.get(exif[:2])
        if order is None or len(exif) < 8:
            raise ValueError("no EXIF block")
        self.content = bytearray(exif)
        self._order = order

    def unpack(self, layout: str, place: int) -> tuple[int, ...]:
        """Return numbers at a place; a place outside the block raises struct.error."""
        if place < 0:
            raise struct.error("a place before the block")
        return struct.unpack_from(self._order + layout, self.content, place)

    def pack(self, layout: str, place: int, *values: int) -> None:
        """Write numbers at a place."""
        struct.pack_into(self._order + layout, self.content, place, *values)

    def main_directory(self) -> int:
        """Return where the main directory begins."""
        return self.unpack("I", 4)[0]

    def entries(self, directory: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the tag, type and count of each entry of a directory, and where the entry begins."""
        (count,) = self.unpack("H", directory)
        for index in range(count):
            place = directory + 2 + index * _ENTRY_BYTES
            yield (*self.unpack("HHI", place), place)  # type: ignore[misc]

    def find(self, directory: int, tag: int) -> int | None:
        """Return the number that an entry of one number holds, None without such an entry."""
        for found, kind, count, place in self.entries(directory):
            if found == tag and count == 1 and kind in (_SHORT, _LONG):
                return self.unpack("H" if kind == _SHORT else "I", place + 8)[0]
        return None

    def set_number(self, directory: int, tag: int, value: int) -> None:
        """Change the number of each entry with a tag; one that is too small for it becomes a long one."""
        for found, kind, count, place in self.entries(directory):
            if found == tag and count == 1 and kind in (_SHORT, _LONG):
                short = kind == _SHORT and value <= 0xFFFF
                self.pack("H", place + 2, _SHORT if short else _LONG)
                self.pack("HH" if short else "I", place + 8, *((value, 0) if short else (value,)))

    def next_pointer(self, directory: int) -> int:
        """Return the place that says where the next directory begins."""
        (count,) = self.unpack("H", directory)
        return directory + 2 + count * _ENTRY_BYTES


def correct_sizes(exif: bytes, width: int, height: int, orientation: int) -> bytes:
    """Return a block whose sizes and subject are those of the upright picture.

    Entries that are not there are not added. A block that cannot be parsed is returned as it is, or as far
    as it can be.

    Args:
        exif: a TIFF structure without the "Exif" prefix.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        orientation: by which the pixels have been turned, 1 to 8.
    """
    try:
        block = ExifBlock(exif)
    except ValueError:
        return exif
    try:
        main = block.main_directory()
        _set_sizes(block, main, _MAIN_WIDTHS, _MAIN_HEIGHTS, width, height)
        directory = block.find(main, _EXIF_DIRECTORY)
        if directory:
            _set_sizes(block, directory, _WIDTHS[:1], _HEIGHTS[:1], width, height)
            _turn_subject(block, directory, width, height, orientation)
            deeper = block.find(directory, _INTEROPERABILITY_DIRECTORY)
            if deeper:
                _set_sizes(block, deeper, _WIDTHS[1:], _HEIGHTS[1:], width, height)
    except struct.error:
        # A broken directory ends here; what came before it is right.
        pass
    return bytes(block.content)


def has_thumbnail(exif: bytes) -> bool:
    """Say whether a block names a second directory, which is that of a thumbnail."""
    try:
        block = ExifBlock(exif)
        return bool(block.unpack("I", block.next_pointer(block.main_directory()))[0])
    except (ValueError, struct.error):
        return False


def renew_thumbnail(exif: bytes, draw: Callable[[int], bytes | None]) -> tuple[bytes, bool]:
    """Return a block with a thumbnail of the new picture in the place of the old one.

    A thumbnail that is no JPEG, or that cannot be drawn small enough, is taken out with its directory.

    Args:
        exif: a TIFF structure without the "Exif" prefix.
        draw: given the number of bytes that there is room for, returns a JPEG file, or None.

    Returns:
        The block, and True when it still has what it had: a thumbnail, or none.
    """
    if not has_thumbnail(exif):
        return exif, True
    block = ExifBlock(exif)
    pointer = block.next_pointer(block.main_directory())
    (directory,) = block.unpack("I", pointer)
    try:
        start, length = block.find(directory, _THUMBNAIL_START), block.find(directory, _THUMBNAIL_LENGTH)
        if start and length and start + length <= len(exif):
            drawn = draw(length) if bytes(exif[start : start + 2]) == b"\xff\xd8" else None
            # Padded, so that nothing of the old picture is left.
            block.content[start : start + length] = (drawn or b"").ljust(length, b"\x00")
            if drawn is not None:
                block.set_number(directory, _THUMBNAIL_LENGTH, len(drawn))
                block.set_number(directory, ORIENTATION_TAG, 1)
                return bytes(block.content), True
    except struct.error:
        # A directory that leads nowhere shows nothing.
        pass
    block.pack("I", pointer, 0)
    return bytes(block.content), False


def _set_sizes(
    block: ExifBlock,
    directory: int,
    widths: tuple[int, ...],
    heights: tuple[int, ...],
    width: int,
    height: int,
) -> None:
    for tag in widths:
        block.set_number(directory, tag, width)
    for tag in heights:
        block.set_number(directory, tag, height)


def _turn_subject(block: ExifBlock, directory: int, width: int, height: int, orientation: int) -> None:
    """Turn the point, circle or rectangle of the subject with the picture."""
    if orientation not in range(2, 9):
        return
    for tag, kind, count, entry in block.entries(directory):
        if tag not in _SUBJECT_TAGS or kind != _SHORT or count not in (2, 3, 4):
            continue
        place = entry + 8 if count == 2 else block.unpack("I", entry + 8)[0]
        values = list(block.unpack("H" * count, place))
        values[:2] = _turn_point(values[0], values[1], width, height, orientation)
        if count == 4 and orientation >= 5:
            values[2:] = reversed(values[2:])
        block.pack("H" * count, place, *values)


def _turn_point(column: int, row: int, width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return where a point of the stored picture lies in the upright one of the given size."""
    if orientation >= 5:
        # The stored rows are the upright columns.
        column, row = row, column
    right, down = width - 1 - column, height - 1 - row
    flipped_columns = orientation in (2, 3, 6, 7)
    flipped_rows = orientation in (3, 4, 7, 8)
    place = (right if flipped_columns else column, down if flipped_rows else row)
    return max(0, place[0]), max(0, place[1])
