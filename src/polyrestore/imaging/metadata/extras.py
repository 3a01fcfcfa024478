"""What a file holds beside its pixels, profile, EXIF and resolution, as its bytes are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PngChunk:
    """A chunk of a PNG file that is written again as it was.

    Attributes:
        kind: its four letters.
        data: its content, without length and checksum.
        behind_pixels: True when it comes after the pixel data.
    """

    kind: bytes
    data: bytes
    behind_pixels: bool = False


@dataclass(frozen=True)
class TiffTag:
    """An entry of a TIFF directory that is written again as it was.

    Attributes:
        number: of the tag.
        kind: the TIFF type of its values, 1 to 18.
        value: what Pillow's directories hold for that type: bytes, a text, a number or a tuple of numbers.
    """

    number: int
    kind: int
    value: Any


@dataclass(frozen=True)
class Extras:
    """Descriptions that a file holds beside its pixels, profile, EXIF and resolution.

    Attributes:
        xmp: the XMP packet, corrected where it described the old pixels or the old file.
        xmp_extension: the rest of an XMP packet that was too long for one segment of a JPEG file.
        iptc: captions, keywords and rights: IPTC-IIM data sets.
        photoshop: the other image resources of Photoshop by number: those that describe no old pixels.
        comments: of a JPEG file, each as it is.
        chunks: of a PNG file: texts, and how its colours are meant.
        tags: of a TIFF directory: those that say nothing about how the pixels are stored.
        significant_bits: of a PNG file, for red, green, blue and alpha, or for grey and alpha.
        aspect: a resolution without a unit: horizontal and vertical pixels per any length.
    """

    xmp: bytes | None = field(default=None, repr=False)
    xmp_extension: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)
    photoshop: tuple[tuple[int, bytes, bytes], ...] = field(default=(), repr=False)
    comments: tuple[bytes, ...] = field(default=(), repr=False)
    chunks: tuple[PngChunk, ...] = field(default=(), repr=False)
    tags: tuple[TiffTag, ...] = field(default=(), repr=False)
    significant_bits: bytes = b""
    aspect: tuple[float, float] | None = None
