"""What a file format is: facts that callers ask for, and the functions that read and write it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from polyrestore.imaging.exif import EXIF_PREFIX
from polyrestore.imaging.image import FormatDescription, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note

Open = Callable[[bytes], PILImage.Image]
"""Opens a file's bytes without decoding the pixels; what Pillow raises for malformed files is fine."""
Decode = Callable[[bytes, Path, PILImage.Image], DecodedPicture]
"""Takes the bytes, what messages call the file, and what was opened; gives the first picture."""
Encode = Callable[[NDArray[Any], ImageMetadata, Quality, list[Note]], bytes]
"""Takes samples (H, W, C) that the format can hold, what to keep beside them, the quality, and a list that
takes notes; gives the bytes of a file."""


def decode_plainly(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    """Decode as Pillow does."""
    return decode_by_pillow(opened, name)


def keeps_nothing(opened: PILImage.Image) -> Mapping[str, Any]:
    """Return no options: how the input was compressed says nothing to the format's writer."""
    return {}


def quality_or(quality: Quality, usual: int) -> int:
    """Return a quality as a number, for formats whose files do not say which one they were written with."""
    return quality if isinstance(quality, int) else usual


def always(content: bytes, opened: PILImage.Image) -> bool:
    """Say that a format never loses anything."""
    return True


def never(content: bytes, opened: PILImage.Image) -> bool:
    """Say that a format always goes through lossy compression."""
    return False


@dataclass(frozen=True, kw_only=True)
class FileFormat(FormatDescription):
    """A file format with its functions; what has no default every format has to say.

    Attributes:
        starts: whether a file's first bytes (64 at least) are those of this format.
        open: opens a file.
        decode: decodes what was opened.
        is_lossless: whether the pixels of an opened file never went through lossy compression.
        encoding: how the pixels of an opened file were compressed, for ``encode``.
        encode: makes a file; None for a format that cannot be written.
        written_as: the name of the format that results are written in instead, where ``encode`` is None.
    """

    starts: Callable[[bytes], bool]
    open: Open
    decode: Decode = decode_plainly
    is_lossless: Callable[[bytes, PILImage.Image], bool] = always
    encoding: Callable[[PILImage.Image], Mapping[str, Any]] = keeps_nothing
    encode: Encode | None = None
    written_as: str = "PNG"


def open_by_pillow(factory: Callable[..., PILImage.Image | None], content: bytes) -> PILImage.Image:
    """Open a file's bytes with one of Pillow's plugins, as ``PIL.Image.open`` does.

    Args:
        factory: the plugin's class.
        content: the file's bytes.

    Raises:
        UnidentifiedImageError: the plugin does not take the file.
    """
    try:
        opened = factory(io.BytesIO(content), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from error
    if opened is None:
        raise UnidentifiedImageError("the file could not be identified")
    return opened


def save_by_pillow(samples: NDArray[Any], metadata: ImageMetadata, file_format: str, **options: Any) -> bytes:
    """Return a file that Pillow writes, with the profile, EXIF and resolution that there are.

    Args:
        samples: (H, W, C) uint8 with C = 1, 2, 3 or 4, or (H, W, 1) uint16.
        metadata: what the format can hold of it.
        file_format: Pillow's name of the format.
        options: of Pillow's writer; they have precedence.
    """
    channels = samples.shape[2]
    picture = PILImage.fromarray(np.ascontiguousarray(samples[:, :, 0] if channels == 1 else samples))
    kept: dict[str, Any] = {}
    if metadata.icc_profile is not None:
        kept["icc_profile"] = metadata.icc_profile
    if metadata.exif is not None:
        kept["exif"] = EXIF_PREFIX + metadata.exif
    if metadata.dpi is not None:
        kept["dpi"] = metadata.dpi
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **(kept | options))
    return buffer.getvalue()
