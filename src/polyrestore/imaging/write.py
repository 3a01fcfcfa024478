"""Image files out: whole or not at all, with everything kept that the format can hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyrestore.errors import MissingExtraError, OutputError
from polyrestore.files import write_bytes
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.exif import EXIF_PREFIX
from polyrestore.imaging.formats.base import FileFormat
from polyrestore.imaging.formats.registry import FORMATS, READABLE_SUFFIXES, writable_format
from polyrestore.imaging.image import FormatDescription, ImageMetadata, Quality
from polyrestore.imaging.levels import LARGEST_LEVEL, to_floats
from polyrestore.imaging.metadata.embedding import embed_extras, fit_extras, refresh_thumbnail
from polyrestore.imaging.scaling import from_unit
from polyrestore.notes import Note

_LARGEST_JPEG_EXIF = 65533 - len(EXIF_PREFIX)


def format_of(path: Path, metadata: ImageMetadata) -> FileFormat:
    """Return the format that ``path`` is written in: by its ending, else by ``metadata.format``.

    Raises:
        OutputError: neither names a format that can be written.
    """
    suffix = path.suffix.lower()
    for description in FORMATS.values():
        if suffix in description.suffixes and description.encode is not None:
            return description
    if suffix in READABLE_SUFFIXES:
        raise OutputError(f"cannot write {path}: {suffix} files can be read only; choose .tif or .png")
    if metadata.format not in FORMATS:
        known = ", ".join(name for name, found in FORMATS.items() if found.encode)
        raise OutputError(f"cannot write {path}: no format for {suffix!r}; known: {known}")
    return writable_format(metadata.format)


def require_quality(quality: Quality) -> None:
    """Refuse a quality that no format knows.

    Raises:
        OutputError: it is outside of 1 to 100, and not "keep" or None.
    """
    if quality is not None and quality != "keep" and not (isinstance(quality, int) and 1 <= quality <= 100):
        raise OutputError(f"the quality must be from 1 to 100, or 'keep', not {quality!r}")


def write_image(
    path: str | Path, pixels: Tensor, metadata: ImageMetadata, *, quality: Quality = None
) -> tuple[Note, ...]:
    """Write an image in the format that the ending of ``path`` names, whole or not at all.

    Args:
        path: the file, replaced when it exists; missing folders are made.
        pixels: as for :func:`encode_image`, like the rest.
        metadata: from :func:`polyrestore.imaging.read_image`, or ``ImageMetadata()``.
        quality: of lossy formats: from 1 to 100, ``"keep"`` for how the input was compressed if it is of the
            same format, or None for what neither damages the picture again nor wastes space.

    Returns:
        One sentence for each thing that the format could not keep.

    Raises:
        OutputError: the pixels are malformed, or the file cannot be written.
    """
    content, notes = encode_image(path, pixels, metadata, quality=quality)
    write_bytes(Path(path), content)
    return notes


def encode_image(
    path: str | Path, pixels: Tensor, metadata: ImageMetadata, *, quality: Quality = None
) -> tuple[bytes, tuple[Note, ...]]:
    """Return the bytes of an image file in the format that the ending of ``path`` names.

    JPEG is written with 4:4:4 colour and quality 95, or the tables of a JPEG that was compressed less. WebP
    and JPEG 2000 are lossless when ``metadata.lossless`` says that the source was. AVIF and HEIC always are
    lossy, and everything else never is.

    Args:
        path: where the file will be; nothing is written there.
        pixels: (3, H, W) RGB, floats that are clipped to [0, 1], or levels: uint8 or uint16. For a grey image
            the mean of the channels is written.
        metadata: from :func:`polyrestore.imaging.read_image`, or ``ImageMetadata()``.
        quality: of lossy formats: from 1 to 100, ``"keep"`` for how the input was compressed if it is of the
            same format, or None for what neither damages the picture again nor wastes space.

    Returns:
        The bytes, and one sentence for each thing that the format could not keep.

    Raises:
        OutputError: the pixels are malformed, or cannot be stored in the format.
    """
    path = Path(path)
    description = format_of(path, metadata)
    _require_writable(path, pixels, metadata, description)
    require_quality(quality)
    notes: list[Note] = []
    kept = _fit(metadata, description, notes)
    samples = _samples(pixels, kept)
    if kept.exif is not None:
        exif, told = refresh_thumbnail(kept.exif, pixels)
        kept = replace(kept, exif=exif)
        notes += told
    assert description.encode is not None
    try:
        content = description.encode(samples, kept, quality, notes)
        return embed_extras(content, kept, description.name, samples.shape[1], samples.shape[0]), tuple(notes)
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:
        # Encoders raise many types, and each means that this image cannot be stored in this format.
        raise OutputError(f"cannot write {path} as {description.name}: {error}") from error


def stored_type(path: str | Path, metadata: ImageMetadata) -> torch.dtype:
    """Return in which type an image loses nothing that a file of it keeps: uint8, uint16, or float32.

    Args:
        path: where the file will be; its ending names the format.
        metadata: as for :func:`encode_image`.

    Raises:
        OutputError: there is no format that can be written.
    """
    kept = _fit(metadata, format_of(Path(path), metadata), [])
    if kept.scale is not None:
        return torch.float32
    return torch.uint16 if kept.bit_depth > 8 else torch.uint8


def _finite(pixels: Tensor) -> bool:
    return pixels.dtype in LARGEST_LEVEL or all(
        bool(pixels[:, band].isfinite().all()) for band in bands_of(pixels.shape[1])
    )


def _require_writable(
    path: Path, pixels: Tensor, metadata: ImageMetadata, description: FormatDescription
) -> None:
    if pixels.ndim != 3 or pixels.shape[0] != 3 or min(pixels.shape) < 1:
        raise OutputError(f"cannot write {path}: pixels must be (3, H, W), not {tuple(pixels.shape)}")
    if not _finite(pixels):
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
    # More bits than there are keep all levels, and the fewest of those make the smallest file.
    enough = [bits for bits in sorted(description.bit_depths) if bits >= bit_depth]
    if not enough:
        most = max(description.bit_depths)
        sentence = f"{name} cannot hold {bit_depth} bits per channel, written with {most}"
        notes.append(Note("bits_reduced", sentence))
    bit_depth = enough[0] if enough else most
    scale, further = metadata.scale, metadata.further
    if scale is not None and not description.scale:
        ends = f"0 is {scale.black:g} and {2**bit_depth - 1} is {scale.white:g}"
        sentence = f"{name} cannot hold {scale.dtype}, written with {bit_depth} bits per channel: {ends}"
        notes.append(Note("bits_reduced", sentence))
        scale = None
    if further is not None and not description.further_channels:
        notes.append(
            Note("channels_lost", f"{name} cannot hold further channels, {further.shape[2]} dropped")
        )
        further = None
    if grey and not description.grey:
        notes.append(Note("grey_to_rgb", f"{name} cannot hold a single grey channel, written as RGB"))
        grey = False
    holds_both = scale is not None or bit_depth in description.grey_with_alpha
    if grey and alpha is not None and description.alpha and not holds_both:
        sentence = f"{name} cannot hold grey with alpha in {bit_depth} bits, written as RGB with alpha"
        notes.append(Note("grey_to_rgb", sentence))
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
    extras, lost = fit_extras(metadata.extras, name)
    notes += lost
    return replace(
        metadata,
        bit_depth=bit_depth,
        grey=grey,
        alpha=alpha,
        icc_profile=profile,
        exif=exif,
        dpi=dpi,
        scale=scale,
        further=further,
        extras=extras,
    )


def _samples(pixels: Tensor, metadata: ImageMetadata) -> NDArray[Any]:
    """Return (H, W, C): colours, alpha and further channels, rounded to what the file's type can hold."""
    scale, alpha, further = metadata.scale, metadata.alpha, metadata.further
    colours = 1 if metadata.grey else 3
    largest, kind = (65535, np.dtype(np.uint16)) if metadata.bit_depth > 8 else (255, np.dtype(np.uint8))
    if scale is not None:
        kind = np.dtype(scale.dtype)
    shown = colours + (alpha is not None)
    samples = np.empty((*pixels.shape[1:], shown + (0 if further is None else further.shape[2])), kind)
    for band in bands_of(pixels.shape[1]):
        colour = to_floats(pixels[:, band]).detach().float().cpu()
        if metadata.grey:
            colour = colour.mean(dim=0, keepdim=True)
        levels = np.clip(np.moveaxis(colour.numpy(), 0, 2), 0.0, 1.0)
        samples[band, :, :colours] = (
            np.rint(levels * np.float32(largest)) if scale is None else from_unit(levels, scale)
        )
        if alpha is not None:
            opaque = alpha[:, band].detach().float().cpu().clamp(0, 1).numpy()[0]
            samples[band, :, colours] = _alpha_levels(opaque, kind)
    if further is not None:
        samples[:, :, shown:] = further
    return samples


def _alpha_levels(opaque: NDArray[np.float32], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return alpha from 0 to 1 in a file's type, in which the largest integer or the float 1 is opaque."""
    if kind.kind == "f":
        return opaque
    return np.rint(opaque.astype(np.float64) * np.iinfo(kind).max)
