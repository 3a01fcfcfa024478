"""What each file format holds beside its pixels, found, sorted, and set right for the new pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import IO

from PIL import Image as PILImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from polyrestore.imaging.metadata.exif_pixels import correct_sizes
from polyrestore.imaging.metadata.extras import Extras
from polyrestore.imaging.metadata.gif import split_gif
from polyrestore.imaging.metadata.jpeg import split_jpeg
from polyrestore.imaging.metadata.jpeg2000 import split_jpeg2000
from polyrestore.imaging.metadata.photoshop import Resource, sort_resources, split_resources
from polyrestore.imaging.metadata.png import PngParts, drop_places, split_png
from polyrestore.imaging.metadata.tags import (
    IPTC_TAG,
    PHOTOSHOP_TAG,
    XMP_TAG,
    read_block,
    read_tags_to_keep,
    upright_iptc,
)
from polyrestore.imaging.metadata.webp import split_webp
from polyrestore.imaging.metadata.xmp import correct_xmp, describes_old_pixels
from polyrestore.notes import Note


@dataclass
class FoundExtras:
    """What a file holds beside its pixels, as it is in the file.

    Attributes:
        extras: what can be written again, not yet corrected.
        resources: image resources of Photoshop, not yet sorted.
        notes: what cannot be written again.
    """

    extras: Extras = field(default_factory=Extras)
    resources: tuple[Resource, ...] = ()
    notes: list[Note] = field(default_factory=list)


def find_extras(
    content: bytes,
    opened: PILImage.Image,
    file_format: str,
    read_elsewhere: frozenset[int] = frozenset(),
    *,
    keeps_colours: bool = True,
) -> FoundExtras:
    """Return what a file holds beside the picture that Pillow has opened.

    Args:
        content: the file's bytes.
        opened: by Pillow.
        file_format: a key of :data:`~polyrestore.imaging.FORMATS`.
        read_elsewhere: TIFF tags that are kept in another way.
        keeps_colours: False when the samples have been converted to other colours.
    """
    if file_format == "JPEG":
        return find_in_jpeg(content, opened)
    if file_format == "PNG":
        return find_in_png(split_png(content), opened)
    if file_format == "TIFF":
        directory = opened.tag_v2  # type: ignore[attr-defined]
        return find_in_tiff(directory, content, opened.tell(), read_elsewhere, keeps_colours=keeps_colours)
    if file_format == "WEBP":
        return find_in_webp(content)
    if file_format == "GIF":
        comments, xmp, lost = split_gif(content)
        return FoundExtras(Extras(xmp=xmp, comments=comments), (), _tell("parts_lost", lost))
    if file_format == "JPEG2000":
        xmp, iptc, lost = split_jpeg2000(content)
        found = find_in_memory(opened)
        extras = replace(found.extras, xmp=xmp, iptc=iptc)
        return FoundExtras(extras, (), _tell("parts_lost", lost))
    return find_in_memory(opened)


def find_in_memory(
    opened: PILImage.Image, read_elsewhere: frozenset[int] = frozenset(), *, keeps_colours: bool = True
) -> FoundExtras:
    """Return what an image in memory still knows of its file.

    Args:
        opened: by Pillow, or made in memory.
        read_elsewhere: TIFF tags that are kept in another way.
        keeps_colours: False when the samples have been converted to other colours.
    """
    directory = getattr(opened, "tag_v2", None)
    if isinstance(directory, ImageFileDirectory_v2):
        stream = getattr(opened, "fp", None)
        content = _read_again(stream) if stream is not None and not stream.closed else b""
        return find_in_tiff(directory, content, opened.tell(), read_elsewhere, keeps_colours=keeps_colours)
    xmp, comment = opened.info.get("xmp"), opened.info.get("comment")
    resources = opened.info.get("photoshop")
    if isinstance(comment, str):
        comment = comment.encode("utf-8")
    lost = ["texts"] if getattr(opened, "text", None) else []
    if any(key in opened.info for key in ("gamma", "chromaticity")):
        lost.append("how the colours of the PNG file are meant")
    return FoundExtras(
        Extras(
            xmp=xmp if isinstance(xmp, bytes) else None,
            comments=(comment,) if isinstance(comment, bytes) else (),
        ),
        tuple((number, b"", data) for number, data in resources.items() if isinstance(data, bytes))
        if isinstance(resources, dict)
        else (),
        _tell("parts_lost", lost),
    )


def find_in_jpeg(content: bytes, opened: PILImage.Image) -> FoundExtras:
    """Return what the segments of a JPEG file hold, and tell what lies behind its picture."""
    parts = split_jpeg(content)
    aspect = None
    density = opened.info.get("jfif_density")
    if opened.info.get("jfif_unit") == 0 and density and min(density) > 0 and tuple(density) != (1, 1):
        aspect = (float(density[0]), float(density[1]))
    extras = Extras(xmp=parts.xmp, xmp_extension=parts.xmp_extension, comments=parts.comments, aspect=aspect)
    notes = _tell("parts_lost", parts.lost)
    if parts.behind is not None:
        notes.append(Note("behind_lost", f"{parts.behind} not kept"))
    return FoundExtras(extras, parts.resources, notes)


def find_in_png(parts: PngParts, opened: PILImage.Image) -> FoundExtras:
    """Return what the chunks of a PNG file hold."""
    aspect = opened.info.get("aspect")
    extras = Extras(
        xmp=parts.xmp,
        chunks=parts.chunks,
        significant_bits=parts.significant_bits,
        aspect=(float(aspect[0]), float(aspect[1])) if aspect and min(aspect) > 0 else None,
    )
    notes = []
    if parts.damaged:
        notes.append(Note("parts_lost", f"damaged parts not kept: {', '.join(parts.damaged)}"))
    return FoundExtras(extras, (), notes + _tell("parts_lost", [f"chunk {kind}" for kind in parts.lost]))


def find_in_tiff(
    directory: ImageFileDirectory_v2,
    content: bytes,
    page_number: int,
    read_elsewhere: frozenset[int],
    *,
    keeps_colours: bool,
) -> FoundExtras:
    """Return what the directory of one page holds.

    Args:
        directory: of the page.
        content: the file's bytes; empty where they are not known any more.
        page_number: from 0, in the order of the file's directories.
        read_elsewhere: tags that are kept in another way.
        keeps_colours: False when the samples have been converted to other colours.
    """
    tags, lost = read_tags_to_keep(directory, read_elsewhere, keeps_colours=keeps_colours)
    aspect = None
    if directory.get(296) == 1 and 282 in directory and 283 in directory:
        across, down = float(directory[282]), float(directory[283])
        aspect = (across, down) if across > 0 and down > 0 else None
    resources: tuple[Resource, ...] = ()
    xmp, iptc, block = (read_block(content, page_number, tag) for tag in (XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG))
    if block:
        try:
            resources = tuple(split_resources(block))
        except ValueError:
            lost.append("damaged image resources of Photoshop")
    extras = Extras(xmp=xmp, iptc=None if iptc is None else upright_iptc(iptc), tags=tags, aspect=aspect)
    return FoundExtras(extras, resources, _tell("parts_lost", lost))


def find_in_webp(content: bytes) -> FoundExtras:
    """Return what the chunks of a WebP file hold."""
    xmp, lost = split_webp(content)
    return FoundExtras(Extras(xmp=xmp), (), _tell("parts_lost", [f"chunk {kind}" for kind in lost]))


def correct_extras(
    found: FoundExtras, width: int, height: int, *, turned: bool
) -> tuple[Extras, tuple[Note, ...]]:
    """Return what is true of the upright picture, and notes on all that is not kept.

    Args:
        found: what the file held.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        turned: True when the pixels were turned by their orientation.
    """
    extras, lost = found.extras, []
    iptc, resources, untrue = sort_resources(found.resources, turned=turned)
    lost += untrue
    extension = extras.xmp_extension
    if extension is not None and describes_old_pixels(extension):
        lost.append("depths or pictures of the old file in XMP")
        extension = None
    xmp = extras.xmp
    if xmp is not None:
        corrected = correct_xmp(xmp, width, height, turned=turned, keeps_extension=extension is not None)
        xmp = corrected.packet
        lost += corrected.lost
    chunks = extras.chunks
    if turned:
        chunks, placed = drop_places(chunks)
        lost += [f"chunk {kind}" for kind in placed]
    aspect = extras.aspect
    if turned and aspect is not None and aspect[0] != aspect[1]:
        aspect = None
        lost.append("a resolution without a unit")
    corrected_extras = replace(
        extras,
        xmp=xmp,
        xmp_extension=extension if xmp is not None else None,
        iptc=extras.iptc if iptc is None else iptc,
        photoshop=resources,
        chunks=chunks,
        aspect=aspect,
    )
    return corrected_extras, (*found.notes, *_tell("parts_lost", lost))


def correct_exif(exif: bytes | None, width: int, height: int, orientation: int) -> bytes | None:
    """Return an EXIF block with the sizes of the upright picture; None stays None."""
    return None if exif is None else correct_sizes(exif, width, height, orientation)


def _read_again(stream: IO[bytes]) -> bytes:
    place = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(place)
    return content


def _tell(code: str, lost: Iterable[str]) -> list[Note]:
    words = ", ".join(dict.fromkeys(lost))
    return [Note(code, f"not kept: {words}")] if words else []
