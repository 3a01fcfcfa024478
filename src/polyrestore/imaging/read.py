"""Image files in: decoded once, upright, as float32 RGB, with all that has to be kept beside the pixels."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from polyrestore.errors import ImageError
from polyrestore.imaging import png16, tiff
from polyrestore.imaging.content import read_content, sniff_format
from polyrestore.imaging.image import FORMATS, Image
from polyrestore.imaging.pillow import (
    DecodedPicture,
    assemble_image,
    decode_by_pillow,
    format_name,
    read_tags,
)
from polyrestore.imaging.quiet import silence_tiff
from polyrestore.notes import Note

_MODES_16 = {1: "L16", 2: "LA16", 3: "RGB16", 4: "RGBA16"}


def read_image(source: str | Path | bytes, *, name: str | Path | None = None) -> Image:
    """Read a PNG, JPEG, TIFF, WebP or BMP file; its content counts, not its name.

    The EXIF orientation is applied to the pixels and set to 1 in the metadata. Colour profiles are kept
    beside the pixels and not applied, except that CMYK becomes sRGB. Pillow's limit on the number of
    pixels holds.

    Args:
        source: the file's path, or its bytes.
        name: what messages and notes call the file; the path by default.

    Returns:
        The image with pixels (3, H, W) float32 in [0, 1].

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, too large or of another kind.
    """
    if isinstance(source, bytes):
        content, known = source, Path("image" if name is None else name)
    else:
        content, known = read_content(source), Path(source if name is None else name)
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images and odd EXIF; the one is legitimate, the other is kept as it is.
            warnings.simplefilter("ignore")
            if sniff_format(content) == "TIFF":
                silence_tiff()
            with PILImage.open(io.BytesIO(content), formats=tuple(FORMATS)) as opened:
                return _read_opened(content, known, opened)
    except ImageError:
        raise
    except PILImage.DecompressionBombError as error:
        limit = 2 * (PILImage.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{known}: more than the limit of {limit} pixels, refused as a bomb") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{known}: not a readable PNG, JPEG, TIFF, WebP or BMP image") from error
    except Exception as error:
        # Damaged files make decoders raise nearly anything, and each of those means the same to the caller.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{known}: the image is truncated or damaged ({reason})") from error


def _read_opened(content: bytes, name: Path, opened: PILImage.Image) -> Image:
    notes: list[Note] = []
    file_format = format_name(opened)
    if name.suffix and name.suffix.lower() not in FORMATS[file_format].suffixes:
        sentence = f"the name ends in {name.suffix!r} but the content is {file_format}"
        notes.append(Note("name_differs", sentence))
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        notes.append(Note("frames_lost", f"holds {frames} frames, only the first is used"))

    # Pillow takes the orientation of a TIFF file away while it decodes.
    tags = read_tags(opened, file_format)
    decoded = _decode(content, name, opened, file_format)
    lossless = _is_lossless(content, opened, file_format)
    return assemble_image(opened, decoded, tags, file_format, lossless=lossless, notes=notes)


def _decode(content: bytes, name: Path, opened: PILImage.Image, file_format: str) -> DecodedPicture:
    if file_format == "PNG":
        header = png16.read_header(content, name)
        if header.bit_depth == 16 and not header.interlaced:
            samples = png16.read_png16(content, name)
            opened.load()
            return DecodedPicture(samples, _MODES_16[samples.shape[2]])
    if file_format == "TIFF" and set(opened.tag_v2.get(258, ())) == {16}:  # type: ignore[attr-defined]
        try:
            samples = tiff.read_tiff16(content)
        except Exception as error:
            # Compressions that tifffile leaves to an optional package are still read by Pillow.
            decoded = replace(decode_by_pillow(opened, name), upright=True)
            if decoded.samples.dtype == np.uint8:
                sentence = f"16-bit TIFF read with 8 bits per channel ({error})"
                decoded.notes.append(Note("bits_reduced", sentence))
            return decoded
        return DecodedPicture(samples, _MODES_16[samples.shape[2]])
    decoded = decode_by_pillow(opened, name)
    if file_format == "PNG" and header.bit_depth == 16 and decoded.samples.dtype == np.uint8:
        decoded.notes.append(Note("bits_reduced", "interlaced 16-bit PNG read with 8 bits per channel"))
    # Pillow turns TIFF images by itself while it decodes them, and no others.
    return replace(decoded, upright=file_format == "TIFF")


def _is_lossless(content: bytes, opened: PILImage.Image, file_format: str) -> bool:
    if file_format == "JPEG":
        return False
    if file_format == "TIFF":
        return str(opened.info.get("compression", "")) not in ("jpeg", "tiff_jpeg", "webp")
    return file_format != "WEBP" or _is_lossless_webp(content)


def _is_lossless_webp(content: bytes) -> bool:
    """Return True when the first picture of a WebP file is stored as a VP8L chunk."""
    place = 12
    while len(head := content[place : place + 8]) == 8:
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        # A frame of an animation holds its own chunks after 16 bytes of geometry.
        place += 8 + (16 if kind == b"ANMF" else length + length % 2)
    return False
