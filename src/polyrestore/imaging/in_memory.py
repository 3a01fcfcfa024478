"""Images that Pillow holds in memory, read as their files would be."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from PIL import Image as PILImage

from polyrestore.errors import ImageError
from polyrestore.imaging.formats.registry import FORMATS
from polyrestore.imaging.image import Image
from polyrestore.imaging.metadata.reading import find_in_memory
from polyrestore.imaging.pillow import (
    DecodedPicture,
    assemble_image,
    decode_by_pillow,
    format_name,
    read_tags,
)
from polyrestore.imaging.quiet import silence_tiff
from polyrestore.imaging.tiff import READ_AS_EXIF


def read_pillow(image: PILImage.Image, *, as_levels: bool = False) -> Image:
    """Read an image that Pillow holds as its file would be read, as far as it is still known.

    Orientation, alpha, profile, EXIF and resolution count as a file's do. Of an animation it is the frame
    that the image stands at. Pillow itself holds colour with 8 bits: a file with 16 is read in full by
    :func:`polyrestore.imaging.read_image` only. An image that was a WebP file counts as lossless, because
    Pillow does not say.

    Args:
        image: of any mode; it is loaded, and otherwise left as it is.
        as_levels: as for :func:`polyrestore.imaging.read_image`.

    Returns:
        The image with pixels (3, H, W), float32 in [0, 1] unless they are levels.

    Raises:
        ImageError: it has no pixels or values out of range, or its file is closed, truncated or damaged.
    """
    name = Path(str(getattr(image, "filename", "")) or "the Pillow image")
    if not min(image.size):
        raise ImageError(f"{name}: the image has no pixels: {image.width}x{image.height}")
    known = format_name(image)
    file_format = known if known in FORMATS else "PNG"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if file_format == "TIFF":
                silence_tiff()
            # Before its tags are read: Pillow turns the images of TIFF files while it loads them.
            decoded = _decode(image, file_format, name)
            tags = read_tags(image, file_format)
            lossless = file_format != "JPEG"
            beside = find_in_memory(image, READ_AS_EXIF, keeps_colours=decoded.keeps_profile)
            found = assemble_image(
                image, decoded, tags, file_format, beside, lossless=lossless, notes=(), as_levels=as_levels
            )
            return replace(
                found, metadata=replace(found.metadata, encoding=FORMATS[file_format].encoding(image))
            )
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # Files are decoded only now, and damaged ones make decoders raise nearly anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: the image is closed, truncated or damaged ({reason})") from error


def _decode(image: PILImage.Image, file_format: str, name: Path) -> DecodedPicture:
    """Decode as Pillow does, and where it gives up, from the file that the image still has open."""
    try:
        return decode_by_pillow(image, name)
    except OSError:
        stream = getattr(image, "fp", None)
        if file_format != "JPEG" or stream is None:
            raise
    stream.seek(0)
    return FORMATS[file_format].decode(stream.read(), name, image)
