"""What a file held beside its pixels, put into the new file, as far as its format can hold it."""

from __future__ import annotations

import io
from dataclasses import replace

import torch
from PIL import Image as PILImage
from torch import Tensor

from polyrestore.imaging.image import ImageMetadata
from polyrestore.imaging.levels import to_floats, to_levels
from polyrestore.imaging.metadata.exif_pixels import renew_thumbnail
from polyrestore.imaging.metadata.extras import Extras, PngChunk
from polyrestore.imaging.metadata.gif import embed_gif
from polyrestore.imaging.metadata.jpeg import LONGEST_XMP, embed_jpeg
from polyrestore.imaging.metadata.jpeg2000 import embed_jpeg2000
from polyrestore.imaging.metadata.png import COLOUR_CHUNKS, embed_png, small_bits
from polyrestore.imaging.metadata.webp import embed_webp
from polyrestore.notes import Note

_LONGEST_COMMENT = 65533
_THUMBNAIL_PX = 160
_QUALITIES = (85, 70, 50, 30, 10)
_HOLDS: dict[str, frozenset[str]] = {
    "PNG": frozenset(("xmp", "comments", "chunks", "significant_bits", "aspect")),
    "JPEG": frozenset(("xmp", "xmp_extension", "iptc", "photoshop", "comments", "aspect")),
    "TIFF": frozenset(("xmp", "iptc", "photoshop", "tags", "aspect")),
    "WEBP": frozenset(("xmp",)),
    "GIF": frozenset(("xmp", "comments")),
    "AVIF": frozenset(("xmp",)),
    "HEIF": frozenset(("xmp",)),
    "JPEG2000": frozenset(("xmp", "iptc")),
}
_WORDS = {
    "xmp": "XMP",
    "xmp_extension": "the second part of XMP",
    "iptc": "IPTC (captions, keywords, rights)",
    "photoshop": "image resources of Photoshop",
    "comments": "comments",
    "tags": "TIFF tags",
    "significant_bits": "significant bits",
    "aspect": "a resolution without a unit",
}


def fit_extras(extras: Extras, file_format: str) -> tuple[Extras, list[Note]]:
    """Return what a format can hold, and a note that names the rest.

    Args:
        extras: of any file.
        file_format: a key of :data:`~polyrestore.imaging.FORMATS`.
    """
    holds = _HOLDS.get(file_format, frozenset())
    lost = [words for name, words in _WORDS.items() if getattr(extras, name) and name not in holds]
    notes: list[Note] = []
    if extras.chunks and "chunks" not in holds:
        kinds = {chunk.kind for chunk in extras.chunks}
        # What sRGB says goes without saying elsewhere.
        colours = sorted(kind.decode("latin-1") for kind in kinds & set(COLOUR_CHUNKS) - {b"sRGB"})
        if colours:
            what = f"how the colours are meant ({', '.join(colours)})"
            notes.append(Note("colour_meaning_lost", f"{file_format} cannot hold {what}, dropped"))
        if kinds - set(COLOUR_CHUNKS):
            lost.append("texts and other chunks")
    if file_format == "JPEG" and extras.xmp is not None and len(extras.xmp) > LONGEST_XMP:
        extras = replace(extras, xmp=None, xmp_extension=None)
        lost.append(f"XMP of more than {LONGEST_XMP} bytes")
    if any(len(comment) > _LONGEST_COMMENT for comment in extras.comments):
        extras = replace(
            extras, comments=tuple(each for each in extras.comments if len(each) <= _LONGEST_COMMENT)
        )
        lost.append(f"comments of more than {_LONGEST_COMMENT} bytes")
    if lost:
        notes.append(Note("comments_lost", f"{file_format} cannot hold {', '.join(lost)}, dropped"))
    return extras, notes


def embed_extras(content: bytes, metadata: ImageMetadata, file_format: str, width: int, height: int) -> bytes:
    """Return a file with what belongs beside its pixels; TIFF, AVIF and HEIC files have it by then.

    Args:
        content: a file of this package's making.
        metadata: that it was written with; of its ``extras``, what :func:`fit_extras` left.
        file_format: of the file.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
    """
    extras, alpha = metadata.extras, metadata.alpha is not None
    if file_format == "JPEG":
        return embed_jpeg(content, extras)
    if file_format == "JPEG2000":
        return embed_jpeg2000(content, extras)
    if file_format == "GIF":
        return embed_gif(content, extras)
    if file_format == "WEBP":
        return embed_webp(content, extras, width, height, alpha=alpha)
    if file_format == "PNG":
        bits = small_bits(
            extras.significant_bits, grey=metadata.grey, alpha=alpha, bit_depth=metadata.bit_depth
        )
        comments = [PngChunk(b"iTXt", b"Comment" + bytes(5) + _as_utf8(text)) for text in extras.comments]
        chunks = (*([bits] if bits else []), *extras.chunks, *comments)
        return embed_png(content, replace(extras, chunks=chunks))
    return content


def refresh_thumbnail(exif: bytes, pixels: Tensor) -> tuple[bytes, list[Note]]:
    """Return an EXIF block whose thumbnail shows the new picture.

    Args:
        exif: a TIFF structure without the "Exif" prefix.
        pixels: (3, H, W), floats that are clipped to [0, 1], or levels.
    """

    def draw(room: int) -> bytes | None:
        height, width = pixels.shape[1:]
        # A few of the pixels do, and a large photograph would take long.
        step = max(1, min(height, width) // (4 * _THUMBNAIL_PX))
        levels = to_levels(to_floats(pixels[:, ::step, ::step].detach().cpu()), torch.uint8)
        picture = PILImage.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
        for side in (_THUMBNAIL_PX, _THUMBNAIL_PX // 2, _THUMBNAIL_PX // 4):
            picture.thumbnail((side, side))
            for quality in _QUALITIES:
                buffer = io.BytesIO()
                picture.save(buffer, "JPEG", quality=quality)
                if buffer.tell() <= room:
                    return buffer.getvalue()
        return None

    renewed, kept = renew_thumbnail(exif, draw)
    return renewed, [] if kept else [Note("parts_lost", "not kept: an EXIF thumbnail of the old picture")]


def _as_utf8(comment: bytes) -> bytes:
    try:
        comment.decode("utf-8")
    except UnicodeDecodeError:
        return comment.decode("latin-1").encode("utf-8")
    return comment
