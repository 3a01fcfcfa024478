"""JPEG: 8 bits, always lossy, with colour at full resolution."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.JpegImagePlugin import get_sampling, jpeg_factory

from polyrestore.imaging.formats.base import FileFormat, never, open_by_pillow, quality_or, save_by_pillow
from polyrestore.imaging.formats.jpeg_end import looks_cut_off, picture_without_end
from polyrestore.imaging.image import DEFAULT_QUALITY, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note

_FULL_COLOUR = 0
_END = b"\xff\xd9"


def _open(content: bytes) -> PILImage.Image:
    return open_by_pillow(jpeg_factory, content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    try:
        decoded = decode_by_pillow(opened, name)
    except OSError:
        if content.endswith(_END):
            raise
    else:
        if not (content.endswith(_END) and looks_cut_off(content, opened)):
            return decoded
    picture, note = picture_without_end(content, name)
    decoded = decode_by_pillow(picture, name)
    if not content.endswith(_END) or note.code != "end_missing":
        decoded.notes.insert(0, note)
    return decoded


def _encoding(opened: PILImage.Image) -> Mapping[str, Any]:
    tables = getattr(opened, "quantization", None)
    if not tables:
        return {}
    # As lists, because Pillow's writer takes them by number from 0, whatever the file called them.
    kept: dict[str, Any] = {"qtables": [list(tables[number]) for number in sorted(tables)]}
    sampling = get_sampling(opened)
    return kept if sampling < 0 else kept | {"subsampling": sampling}


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    options: dict[str, Any] = {"quality": quality_or(quality, DEFAULT_QUALITY), "subsampling": _FULL_COLOUR}
    kept = dict(metadata.encoding) if metadata.format == "JPEG" else {}
    if kept and quality == "keep":
        options = {"subsampling": _FULL_COLOUR} | kept
    elif kept and quality is None and _mean(kept["qtables"]) < _mean(_usual_tables()):
        # Coarser ones would take away what has been restored: of a photograph of quality 75, all of it.
        options = {"qtables": kept["qtables"], "subsampling": _FULL_COLOUR}
    return save_by_pillow(samples, metadata, "JPEG", **options)


def _mean(tables: Sequence[Sequence[int]]) -> float:
    """Return the mean step of the first table, that of the brightness, which every picture has."""
    return sum(tables[0]) / len(tables[0])


@cache
def _usual_tables() -> list[list[int]]:
    buffer = io.BytesIO()
    PILImage.new("RGB", (8, 8)).save(buffer, "JPEG", quality=DEFAULT_QUALITY)
    return list(_encoding(_open(buffer.getvalue()))["qtables"])


JPEG = FileFormat(
    name="JPEG",
    suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
    bit_depths=(8,),
    grey=True,
    alpha=False,
    grey_with_alpha=(),
    icc_profile=True,
    exif=True,
    dpi=True,
    maximum_side_px=65500,
    starts=lambda start: start.startswith(b"\xff\xd8\xff"),
    open=_open,
    decode=_decode,
    is_lossless=never,
    encoding=_encoding,
    encode=_encode,
)
