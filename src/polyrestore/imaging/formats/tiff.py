"""TIFF: 8 bits by Pillow, all else by tifffile, and written by :mod:`polyrestore.imaging.tiff`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.TiffImagePlugin import TiffImageFile

from polyrestore.errors import ImageError
from polyrestore.imaging.formats.base import FileFormat, open_by_pillow
from polyrestore.imaging.image import MODES_8, MODES_16, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.imaging.quiet import silence_tiff
from polyrestore.imaging.scaling import find_scale, scale_notes, to_unit
from polyrestore.imaging.tiff import encode_tiff
from polyrestore.imaging.tiff_samples import TiffSamples, alpha_of_one, read_tiff_samples
from polyrestore.notes import Note

STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_WIDTH, _HEIGHT = 256, 257
_BITS_PER_SAMPLE, _PLANES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 284, 338, 339
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_INCH, _CENTIMETRE = 2, 3


class _AnyTiff(TiffImageFile):
    """Opens pages that Pillow cannot decode as well, for their tags and size."""

    def _setup(self) -> None:
        self.decodable = True
        try:
            super()._setup()
        except Exception:
            # Whatever Pillow does not know of a page, tifffile may, or it says what is unknown.
            width, height = self.tag_v2.get(_WIDTH), self.tag_v2.get(_HEIGHT)
            if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
                raise
            self.decodable = False
            self._mode, self._size, self.tile = "RGB", (width, height), []
            self._set_resolution()

    def _set_resolution(self) -> None:
        across, down = self.tag_v2.get(_X_RESOLUTION), self.tag_v2.get(_Y_RESOLUTION)
        per_inch = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(self.tag_v2.get(_RESOLUTION_UNIT, _INCH))
        if across and down and per_inch:
            self.info["dpi"] = (float(across) * per_inch, float(down) * per_inch)


def _open(content: bytes) -> PILImage.Image:
    silence_tiff()
    return open_by_pillow(_AnyTiff, content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    assert isinstance(opened, TiffImageFile)
    # An image that was opened elsewhere is one that Pillow can decode.
    decodable = getattr(opened, "decodable", True)
    if decodable and _is_plain(opened):
        # Pillow turns TIFF images by itself while it decodes them, and no others.
        return replace(decode_by_pillow(opened, name), upright=True)
    try:
        return _decode_samples(read_tiff_samples(content, opened.tell()), name)
    except ImageError:
        raise
    except Exception as error:
        if not decodable:
            raise ImageError(f"{name}: a TIFF file of a kind that is not read: {error}") from error
        # Compressions that tifffile leaves to an optional package are still read by Pillow.
        decoded = replace(decode_by_pillow(opened, name), upright=True)
        if decoded.samples.dtype == np.uint8 and max(opened.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8:
            sentence = f"16-bit TIFF read with 8 bits per channel ({error})"
            decoded.notes.append(Note("bits_reduced", sentence))
        return decoded


def _is_plain(opened: TiffImageFile) -> bool:
    """Return whether a page has unsigned samples of 8 bits at most, and no channels that Pillow drops."""
    tags = opened.tag_v2
    extra = tags.get(_EXTRA_SAMPLES, ())
    alpha_alone = len(extra) == 1 and extra[0] in (1, 2) and tags.get(_PLANES, 1) == 1
    unsigned = set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
    return unsigned and max(tags.get(_BITS_PER_SAMPLE, (1,))) <= 8 and (not extra or alpha_alone)


def _decode_samples(found: TiffSamples, name: Path) -> DecodedPicture:
    picture, further = found.picture, found.further if found.further.shape[2] else None
    notes: list[Note] = []
    if further is not None:
        count = f"{further.shape[2]} channel{'s' * (further.shape[2] > 1)}"
        notes.append(Note("channels_kept", f"{count} beside colour and alpha left as they are"))
    channels = picture.shape[2]
    if picture.dtype in (np.uint8, np.uint16):
        mode = (MODES_16 if picture.dtype == np.uint16 else MODES_8)[channels]
        return DecodedPicture(picture, mode, notes=notes, further=further)
    has_alpha = channels in (2, 4)
    colour = picture[:, :, : channels - has_alpha]
    scale = find_scale(colour, name)
    planes = [to_unit(colour, scale)]
    if has_alpha:
        alpha = picture[:, :, -1:]
        planes.append(np.clip(alpha / alpha_of_one(alpha), 0, 1).astype(np.float32))
    return DecodedPicture(
        np.concatenate(planes, axis=2),
        f"{MODES_8[channels]} {scale.dtype}",
        notes=[*notes, *scale_notes(scale)],
        scale=scale,
        further=further,
    )


def _is_lossless(content: bytes, opened: PILImage.Image) -> bool:
    return str(opened.info.get("compression", "")) not in ("jpeg", "tiff_jpeg", "webp")


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    profile, dpi, extras = metadata.icc_profile, metadata.dpi, metadata.extras
    further = 0 if metadata.further is None else metadata.further.shape[2]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return encode_tiff(
                samples, icc_profile=profile, exif=metadata.exif, dpi=dpi, further=further, extras=extras
            )
    except Exception as error:
        # TIFF is the one format that takes EXIF apart, and so the one that trips over a damaged block.
        if metadata.exif is None:
            raise
        notes.append(Note("exif_lost", f"the EXIF block could not be taken over, dropped ({error})"))
        return encode_tiff(samples, icc_profile=profile, dpi=dpi, further=further, extras=extras)


TIFF = FileFormat(
    name="TIFF",
    suffixes=(".tif", ".tiff"),
    bit_depths=(8, 16),
    grey=True,
    alpha=True,
    # With 16 bits the layout exists, but Pillow and all that builds on it refuse to open it.
    grey_with_alpha=(8,),
    icc_profile=True,
    exif=True,
    dpi=True,
    maximum_side_px=2**31 - 1,
    starts=lambda start: start[:4] in STARTS,
    open=_open,
    decode=_decode,
    is_lossless=_is_lossless,
    encode=_encode,
    scale=True,
    further_channels=True,
)
