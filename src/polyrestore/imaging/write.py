"""Image files out: whole or not at all, with everything kept that the format can hold."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor

from polyrestore.errors import OutputError
from polyrestore.files import write_bytes
from polyrestore.imaging.exif import EXIF_PREFIX
from polyrestore.imaging.image import FORMATS, FormatDescription, ImageMetadata
from polyrestore.imaging.png16 import encode_png16
from polyrestore.imaging.tiff import encode_tiff
from polyrestore.notes import Note

# High enough that a restored photograph is not damaged again, with colour at full resolution.
DEFAULT_QUALITY = 95
_LARGEST_JPEG_EXIF = 65533 - len(EXIF_PREFIX)
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def format_of(path: Path, metadata: ImageMetadata) -> FormatDescription:
    """Return the format that ``path`` is written in: by its ending, else by ``metadata.format``.

    Raises:
        OutputError: neither names a format that can be written.
    """
    suffix = path.suffix.lower()
    for description in FORMATS.values():
        if suffix in description.suffixes:
            return description
    if metadata.format not in FORMATS:
        raise OutputError(f"cannot write {path}: no format for {suffix!r}; known: {', '.join(FORMATS)}")
    return FORMATS[metadata.format]


def write_image(
    path: str | Path, pixels: Tensor, metadata: ImageMetadata, *, quality: int = DEFAULT_QUALITY
) -> tuple[Note, ...]:
    """Write an image in the format that the ending of ``path`` names, whole or not at all.

    Args:
        path: the file, replaced when it exists; missing folders are made.
        pixels: as for :func:`encode_image`, like the rest.
        metadata: from :func:`polyrestore.imaging.read_image`, or ``ImageMetadata()``.
        quality: 1 to 100, for JPEG and lossy WebP.

    Returns:
        One sentence for each thing that the format could not keep.

    Raises:
        OutputError: the pixels are malformed, or the file cannot be written.
    """
    content, notes = encode_image(path, pixels, metadata, quality=quality)
    write_bytes(Path(path), content)
    return notes


def encode_image(
    path: str | Path, pixels: Tensor, metadata: ImageMetadata, *, quality: int = DEFAULT_QUALITY
) -> tuple[bytes, tuple[Note, ...]]:
    """Return the bytes of an image file in the format that the ending of ``path`` names.

    JPEG is written with 4:4:4 colour. WebP is lossless when ``metadata.lossless`` says that the source was,
    and lossy at ``quality`` otherwise. Everything else is always lossless.

    Args:
        path: where the file will be; nothing is written there.
        pixels: (3, H, W) RGB, clipped to [0, 1]. For a grey image the mean of the channels is written.
        metadata: from :func:`polyrestore.imaging.read_image`, or ``ImageMetadata()``.
        quality: 1 to 100, for JPEG and lossy WebP.

    Returns:
        The bytes, and one sentence for each thing that the format could not keep.

    Raises:
        OutputError: the pixels are malformed, or cannot be stored in the format.
    """
    path = Path(path)
    description = format_of(path, metadata)
    _require_writable(path, pixels, metadata, description)
    if not 1 <= quality <= 100:
        raise OutputError(f"the quality must be from 1 to 100, not {quality}")
    notes: list[Note] = []
    kept = _fit(metadata, description, notes)
    samples = _samples(pixels, kept)
    try:
        if description.name == "TIFF":
            return _encode_tiff(samples, kept, notes), tuple(notes)
        return _encode(samples, kept, description.name, quality), tuple(notes)
    except Exception as error:
        # Encoders raise many types, and each means that this image cannot be stored in this format.
        raise OutputError(f"cannot write {path} as {description.name}: {error}") from error


def _require_writable(
    path: Path, pixels: Tensor, metadata: ImageMetadata, description: FormatDescription
) -> None:
    if pixels.ndim != 3 or pixels.shape[0] != 3 or min(pixels.shape) < 1:
        raise OutputError(f"cannot write {path}: pixels must be (3, H, W), not {tuple(pixels.shape)}")
    if not bool(pixels.isfinite().all()):
        raise OutputError(f"cannot write {path}: the pixels hold values that are not finite")
    height, width = int(pixels.shape[1]), int(pixels.shape[2])
    if max(height, width) > description.maximum_side_px:
        limit = f"{description.name} ends at {description.maximum_side_px} pixels"
        raise OutputError(f"cannot write {path}: {limit} and the image is {width}x{height}")
    if metadata.alpha is not None and tuple(metadata.alpha.shape) != (1, height, width):
        raise OutputError(f"cannot write {path}: the alpha channel does not have the size {width}x{height}")


def _fit(metadata: ImageMetadata, description: FormatDescription, notes: list[Note]) -> ImageMetadata:
    """Return the part of ``metadata`` that the format can hold, and name the rest in ``notes``."""
    name = description.name
    bit_depth, grey, alpha = metadata.bit_depth, metadata.grey, metadata.alpha
    profile, exif, dpi = metadata.icc_profile, metadata.exif, metadata.dpi
    if bit_depth not in description.bit_depths:
        notes.append(Note("bits_reduced", f"{name} cannot hold {bit_depth} bits per channel, written with 8"))
        bit_depth = 8
    if grey and not description.grey:
        notes.append(Note("grey_to_rgb", f"{name} cannot hold a single grey channel, written as RGB"))
        grey = False
    if grey and alpha is not None and (name == "BMP" or (name == "TIFF" and bit_depth == 16)):
        # BMP has no such layout; the TIFF one exists, but Pillow and all that builds on it refuse to open it.
        notes.append(
            Note(
                "grey_to_rgb",
                f"{name} cannot hold grey with alpha in {bit_depth} bits, written as RGB with alpha",
            )
        )
        grey = False
    if alpha is not None and not description.alpha:
        notes.append(Note("alpha_lost", f"{name} cannot hold alpha, dropped"))
        alpha = None
    if profile is not None and (not description.icc_profile or (grey != metadata.grey)):
        notes.append(Note("profile_lost", f"{name} cannot hold the colour profile, dropped"))
        profile = None
    if exif is not None and not description.exif:
        notes.append(Note("exif_lost", f"{name} cannot hold EXIF, dropped"))
        exif = None
    if exif is not None and name == "JPEG" and len(exif) > _LARGEST_JPEG_EXIF:
        notes.append(Note("exif_lost", "JPEG cannot hold that much EXIF, dropped"))
        exif = None
    if dpi is not None and not description.dpi:
        notes.append(Note("resolution_lost", f"{name} cannot hold the resolution in dpi, dropped"))
        dpi = None
    return replace(
        metadata, bit_depth=bit_depth, grey=grey, alpha=alpha, icc_profile=profile, exif=exif, dpi=dpi
    )


def _samples(pixels: Tensor, metadata: ImageMetadata) -> NDArray[Any]:
    """Return (H, W, C) uint8 or uint16 with C = 1, 2, 3 or 4, rounded to the nearest level."""
    colour = pixels.detach().float().cpu()
    if metadata.grey:
        colour = colour.mean(dim=0, keepdim=True)
    planes = [colour.numpy()]
    if metadata.alpha is not None:
        planes.append(metadata.alpha.detach().float().cpu().numpy())
    largest, kind = (65535, np.uint16) if metadata.bit_depth == 16 else (255, np.uint8)
    levels = np.rint(np.clip(np.concatenate(planes), 0.0, 1.0) * np.float32(largest))
    return np.ascontiguousarray(np.moveaxis(levels.astype(kind), 0, 2))


def _encode_tiff(samples: NDArray[Any], metadata: ImageMetadata, notes: list[Note]) -> bytes:
    profile, dpi = metadata.icc_profile, metadata.dpi
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return encode_tiff(samples, icc_profile=profile, exif=metadata.exif, dpi=dpi)
    except Exception as error:
        # TIFF is the one format that takes EXIF apart, and so the one that trips over a damaged block.
        if metadata.exif is None:
            raise
        notes.append(Note("exif_lost", f"the EXIF block could not be taken over, dropped ({error})"))
        return encode_tiff(samples, icc_profile=profile, dpi=dpi)


def _encode(samples: NDArray[Any], metadata: ImageMetadata, name: str, quality: int) -> bytes:
    profile, exif, dpi = metadata.icc_profile, metadata.exif, metadata.dpi
    if name == "PNG" and samples.dtype == np.uint16:
        return encode_png16(samples, icc_profile=profile, exif=exif, dpi=dpi)
    channels = samples.shape[2]
    if name == "BMP" and metadata.alpha is not None:
        return _encode_bmp_alpha(samples, dpi)

    picture = PILImage.fromarray(samples[:, :, 0] if channels == 1 else samples, _MODES[channels])
    options: dict[str, Any] = {}
    if profile is not None:
        options["icc_profile"] = profile
    if exif is not None:
        options["exif"] = EXIF_PREFIX + exif
    if dpi is not None:
        options["dpi"] = dpi
    elif name == "BMP":
        # Pillow would claim 96.
        options["dpi"] = (0, 0)
    if name == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
    if name == "WEBP":
        # Without `exact`, colours under full transparency are changed.
        options |= {"lossless": metadata.lossless, "quality": quality, "exact": True}
        if metadata.lossless:
            options["quality"] = 80
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def _encode_bmp_alpha(samples: NDArray[np.uint8], dpi: tuple[float, float] | None) -> bytes:
    """Return a 32-bit BMP with a version 4 header: Pillow writes alpha, but does not declare it."""
    height, width, _ = samples.shape
    pixels = samples[::-1, :, [2, 1, 0, 3]].tobytes()
    per_metre = [int(value / 0.0254 + 0.5) for value in dpi] if dpi else [0, 0]
    bit_fields = 3
    offset = 14 + 108
    file_header = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, bit_fields, len(pixels), *per_metre, 0, 0)
    masks = struct.pack("<IIII", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    return file_header + header + masks + b"BGRs" + bytes(36 + 12) + pixels
