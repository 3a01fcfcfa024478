"""HEIF, as phones write it (HEIC): by pillow-heif, with 8, 10 or 12 bits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from polyrestore.errors import needs_extra
from polyrestore.imaging.exif import EXIF_PREFIX
from polyrestore.imaging.formats.base import FileFormat, never, open_by_pillow, quality_or
from polyrestore.imaging.formats.isobmff import AVIF_BRANDS, HEIF_BRANDS, is_coded_as
from polyrestore.imaging.image import MODES_16, ImageMetadata, Quality
from polyrestore.imaging.pillow import DecodedPicture, decode_by_pillow
from polyrestore.notes import Note

# As far from the pixels of a photograph as JPEG at 95, and as large a file.
_USUAL_QUALITY = 75
_BESIDE = {"depth_images": "depth maps", "aux": "gain maps or other auxiliary pictures"}
_COLOURS = ("color_primaries", "transfer_characteristics")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def _open(content: bytes) -> PILImage.Image:
    with needs_extra("reading HEIC", "heif"):
        from pillow_heif import HeifImageFile
    return open_by_pillow(HeifImageFile, content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    bits = int(opened.info.get("bit_depth", 8))
    # Of a sequence, the plugin has decoded the picture that it stands at.
    if bits == 8 or getattr(opened, "n_frames", 1) > 1:
        decoded = decode_by_pillow(opened, name)
        if bits > 8:
            sentence = f"{bits}-bit HEIC of several pictures read with 8 bits per channel"
            decoded.notes.append(Note("bits_reduced", sentence))
    else:
        decoded = _decode_deep(content, bits)
    beside = [what for key, what in _BESIDE.items() if opened.info.get(key)]
    if beside:
        sentence = f"{' and '.join(beside)} of the HEIC file describe the old pixels, dropped"
        decoded.notes.append(Note("parts_lost", sentence))
    return decoded


def _decode_deep(content: bytes, bits: int) -> DecodedPicture:
    import pillow_heif

    samples = np.asarray(pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False))
    # The levels lie in the upper bits of 16.
    levels = (samples >> np.uint16(16 - bits)).astype(np.float32) / np.float32(2**bits - 1)
    samples = np.rint(levels * np.float32(65535)).astype(np.uint16)
    samples = samples[:, :, None] if samples.ndim == 2 else samples
    return DecodedPicture(samples, MODES_16[samples.shape[2]], bit_depth=bits)


def _encoding(opened: PILImage.Image) -> Mapping[str, Any]:
    kept: dict[str, Any] = {}
    if opened.info.get("chroma") in (420, 422, 444):
        kept["chroma"] = opened.info["chroma"]
    # How the colours are meant where there is no profile, such as those of a picture of high dynamic range.
    described = opened.info.get("nclx_profile") or {}
    return kept | {key: described[key] for key in _COLOURS if key in described}


def _encode(samples: NDArray[Any], metadata: ImageMetadata, quality: Quality, notes: list[Note]) -> bytes:
    with needs_extra("writing HEIC", "heif"):
        import pillow_heif
    height, width, channels = samples.shape
    mode = _MODES[channels] + (";16" if samples.dtype == np.uint16 else "")
    picture = pillow_heif.from_bytes(mode, (width, height), samples.tobytes())
    # Phones open files with fewer colours than pixels only, if that is how theirs are.
    options: dict[str, Any] = {"quality": quality_or(quality, _USUAL_QUALITY), "chroma": 444}
    if metadata.format == "HEIF":
        options |= metadata.encoding
    if metadata.icc_profile is not None:
        options["icc_profile"] = metadata.icc_profile
    if metadata.exif is not None:
        options["exif"] = EXIF_PREFIX + metadata.exif
    if metadata.extras.xmp is not None:
        options["xmp"] = metadata.extras.xmp
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


HEIF = FileFormat(
    name="HEIF",
    suffixes=(".heic", ".heif", ".hif", ".heics", ".heifs"),
    bit_depths=(8, 10),
    grey=True,
    alpha=True,
    grey_with_alpha=(),
    icc_profile=True,
    exif=True,
    dpi=False,
    maximum_side_px=16384,
    starts=lambda start: is_coded_as(start, HEIF_BRANDS, AVIF_BRANDS),
    open=_open,
    decode=_decode,
    is_lossless=never,
    encoding=_encoding,
    encode=_encode,
)
