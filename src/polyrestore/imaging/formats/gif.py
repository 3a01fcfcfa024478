"""GIF: at most 256 colours, of which one may be transparent."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.GifImagePlugin import GifImageFile

from polyrestore.imaging.formats.base import FileFormat, open_by_pillow
from polyrestore.imaging.image import ImageMetadata, Quality
from polyrestore.notes import Note

_COLOURS = 256
_OPAQUE_FROM = 128
_DITHER = PILImage.Dither.FLOYDSTEINBERG


def _open(content: bytes) -> PILImage.Image:
    return open_by_pillow(GifImageFile, content)


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    alpha = samples[:, :, -1] if samples.shape[2] in (2, 4) else None
    colour = samples[:, :, : samples.shape[2] - (alpha is not None)]
    hidden = None if alpha is None else alpha < _OPAQUE_FROM
    if alpha is not None and not bool(np.isin(alpha, (0, 255)).all()):
        sentence = "GIF cannot hold alpha in levels, written as transparent or opaque"
        notes.append(Note("alpha_reduced", sentence))
    if colour.shape[2] == 1 and hidden is None:
        return _save(PILImage.fromarray(np.ascontiguousarray(colour[:, :, 0])))

    picture = PILImage.fromarray(np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3))))
    # One entry stays free for what is transparent.
    room = _COLOURS - (hidden is not None)
    few = picture.getcolors(room)
    reduced = picture.quantize(room, dither=_DITHER if few is None else PILImage.Dither.NONE)
    if few is None:
        sentence = f"GIF holds {_COLOURS} colours, written with the nearest ones; PNG would keep all"
        notes.append(Note("colours_reduced", sentence))
    if hidden is None or not bool(hidden.any()):
        return _save(reduced)
    indices = np.where(hidden, np.uint8(_COLOURS - 1), np.asarray(reduced))
    palette = (reduced.getpalette() or [])[: 3 * room]
    masked = PILImage.fromarray(indices.astype(np.uint8), "P")
    masked.putpalette(palette + [0] * (3 * _COLOURS - len(palette)))
    return _save(masked, transparency=_COLOURS - 1)


def _save(picture: PILImage.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # Pillow would drop entries of the palette otherwise, and with them the place of the transparent one.
    picture.save(buffer, "GIF", optimize=False, **options)
    return buffer.getvalue()


GIF = FileFormat(
    name="GIF",
    suffixes=(".gif",),
    bit_depths=(8,),
    grey=True,
    alpha=True,
    grey_with_alpha=(8,),
    icc_profile=False,
    exif=False,
    dpi=False,
    maximum_side_px=65535,
    starts=lambda start: start[:6] in (b"GIF87a", b"GIF89a"),
    open=_open,
    encode=_encode,
)
