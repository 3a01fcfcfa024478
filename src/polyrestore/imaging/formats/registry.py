"""The file formats that there are, in the order in which a file's first bytes are compared with them.

Camera raw comes before TIFF, as which most of it begins.
"""

from __future__ import annotations

from polyrestore.errors import UnknownFormatError, unknown_name
from polyrestore.imaging.formats.avif import AVIF
from polyrestore.imaging.formats.base import FileFormat
from polyrestore.imaging.formats.bmp import BMP
from polyrestore.imaging.formats.gif import GIF
from polyrestore.imaging.formats.heif import HEIF
from polyrestore.imaging.formats.jpeg import JPEG
from polyrestore.imaging.formats.jpeg2000 import JPEG2000
from polyrestore.imaging.formats.png import PNG
from polyrestore.imaging.formats.raw import RAW
from polyrestore.imaging.formats.tiff import TIFF
from polyrestore.imaging.formats.webp import WEBP

_ALL = (PNG, JPEG, RAW, TIFF, WEBP, BMP, GIF, JPEG2000, AVIF, HEIF)

FORMATS: dict[str, FileFormat] = {file_format.name: file_format for file_format in _ALL}

READABLE_SUFFIXES: frozenset[str] = frozenset(
    suffix for file_format in FORMATS.values() for suffix in file_format.suffixes
)

WRITABLE_SUFFIXES: frozenset[str] = frozenset(
    suffix for file_format in FORMATS.values() if file_format.encode for suffix in file_format.suffixes
)


def find_format(content: bytes) -> FileFormat | None:
    """Return the format that a file's bytes announce, or None.

    Args:
        content: all of them, or the first ones, 64 at least.
    """
    return next((found for found in FORMATS.values() if found.starts(content)), None)


def format_named(name: str) -> FileFormat:
    """Return the format that results are to be written in.

    Args:
        name: of the format or one of its endings, with or without the dot, in any case: "jpeg", ".jpg".

    Raises:
        UnknownFormatError: there is no such format, or it can be read only.
    """
    wanted = name.lower().removeprefix(".")
    writable = [found for found in FORMATS.values() if found.encode is not None]
    for found in writable:
        if wanted == found.name.lower() or f".{wanted}" in found.suffixes:
            return found
    if wanted in (known.lower() for known in FORMATS) or f".{wanted}" in READABLE_SUFFIXES:
        raise UnknownFormatError(f"{name} can be read, but not written")
    known = sorted(found.name.lower() for found in writable)
    raise unknown_name("file format", wanted, known, UnknownFormatError)


def writable_format(file_format: str) -> FileFormat:
    """Return the format that results of one are written in: itself, or what it says instead; else PNG.

    Args:
        file_format: any name.
    """
    found = FORMATS.get(file_format, PNG)
    return found if found.encode is not None else FORMATS[found.written_as]
