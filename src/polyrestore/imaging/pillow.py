"""From what Pillow has opened to an image: pixels of any mode, and all that is kept beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageCms

from polyrestore.imaging import tiff
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.exif import (
    ORIENTATION_TAG,
    RESOLUTION_TAG,
    turn_upright,
    with_upright_orientation,
    without_prefix,
)
from polyrestore.imaging.image import Image, ImageMetadata, SampleScale
from polyrestore.imaging.metadata.reading import FoundExtras, correct_exif, correct_extras
from polyrestore.imaging.scaling import find_scale, scale_notes, to_unit
from polyrestore.notes import Note

if TYPE_CHECKING:
    import torch


@dataclass
class DecodedPicture:
    """Samples (H, W, C) with C = 1, 2, 3 or 4, and what was found out on the way to them.

    Attributes:
        samples: uint8, uint16, or float32 in [0, 1].
        mode: as in :class:`~polyrestore.imaging.ImageMetadata`.
        upright: True when they have been turned by the orientation already.
        keeps_profile: False when the colours are not those that the profile describes any more.
        notes: one sentence for each thing that is not as it was.
        bit_depth: bits per channel of the file; None for as many as the samples have.
        scale: how the file's own samples became floats, where they were floats or integers of 32 bits.
        further: (H, W, N), channels that are neither colour nor alpha, as they are in the file.
    """

    samples: NDArray[Any]
    mode: str
    upright: bool = False
    keeps_profile: bool = True
    notes: list[Note] = field(default_factory=list)
    bit_depth: int | None = None
    scale: SampleScale | None = None
    further: NDArray[Any] | None = None


@dataclass(frozen=True)
class Tags:
    """What the tags of an opened image say.

    Attributes:
        exif: the block to keep, its orientation set to 1.
        orientation: of the pixels as they are stored, 1 to 8.
        dpi: horizontal and vertical resolution in pixels per inch.
        notes: one sentence for each thing that could not be read.
    """

    exif: bytes | None
    orientation: int
    dpi: tuple[float, float] | None
    notes: tuple[Note, ...]


def format_name(opened: PILImage.Image) -> str:
    """Return Pillow's name of an image's format; MPO is a JPEG with several pictures inside."""
    return "JPEG" if opened.format == "MPO" else str(opened.format)


def read_tags(opened: PILImage.Image, file_format: str) -> Tags:
    """Return what the tags of an opened image say; a TIFF file's orientation is gone once it is loaded.

    Args:
        opened: a file, or an image in memory.
        file_format: a key of :data:`~polyrestore.imaging.FORMATS`.
    """
    notes: list[Note] = []
    tags, exif, orientation = _read_exif(opened, file_format, notes)
    return Tags(exif, orientation, _resolution(opened, file_format, tags), tuple(notes))


def assemble_image(
    opened: PILImage.Image,
    decoded: DecodedPicture,
    tags: Tags,
    file_format: str,
    found: FoundExtras,
    *,
    lossless: bool,
    notes: Sequence[Note],
    as_levels: bool = False,
) -> Image:
    """Return the upright picture with all that has to be kept beside it.

    Args:
        opened: what the picture was decoded from.
        decoded: its samples.
        tags: from :func:`read_tags`.
        file_format: a key of :data:`~polyrestore.imaging.FORMATS`.
        found: what the file holds beside the picture.
        lossless: False when the pixels went through lossy compression.
        notes: what has been found out before.
        as_levels: leave the pixels as the file's levels where it has any; see
            :class:`~polyrestore.imaging.Image`.
    """
    from polyrestore.imaging.levels import to_floats

    samples = decoded.samples if decoded.upright else turn_upright(decoded.samples, tags.orientation)
    further = decoded.further
    if further is not None and not decoded.upright:
        further = turn_upright(further, tags.orientation)
    height, width = samples.shape[:2]
    extras, untold = correct_extras(found, width, height, turned=tags.orientation != 1)
    told = [*notes, *tags.notes, *decoded.notes, *untold]
    grey, has_alpha = samples.shape[2] < 3, samples.shape[2] in (2, 4)
    planes = _to_planes(samples)
    metadata = ImageMetadata(
        format=file_format,
        mode=decoded.mode,
        bit_depth=decoded.bit_depth or (8 if samples.dtype == np.uint8 else 16),
        grey=grey,
        alpha=to_floats(planes[-1:]).clone() if has_alpha else None,
        icc_profile=(opened.info.get("icc_profile") or None) if decoded.keeps_profile else None,
        exif=correct_exif(tags.exif, width, height, tags.orientation),
        dpi=tags.dpi,
        extras=extras,
        lossless=lossless,
        orientation=tags.orientation,
        scale=decoded.scale,
        further=further,
    )
    colour = planes[:1].expand(3, -1, -1) if grey else planes[:3]
    if not as_levels or samples.dtype == np.float32:
        colour = to_floats(colour).contiguous()
    return Image(colour, metadata, tuple(told))


def decode_by_pillow(opened: PILImage.Image, name: Path) -> DecodedPicture:
    """Return the samples of an image that Pillow has opened, in any of its modes.

    Args:
        opened: a file, or an image in memory; it is loaded.
        name: what messages call it.

    Raises:
        ImageError: floats that are not finite.
    """
    opened.load()
    mode = opened.mode
    transparent = opened.has_transparency_data
    notes: list[Note] = []
    keeps_profile = True
    if mode in ("F", "I"):
        return _decode_32_bits(opened, name)
    if mode.startswith("I;16"):
        return _decode_16_bits(opened)
    if mode in ("1", "L", "LA", "La"):
        image = _in_mode(opened, "LA" if transparent else "L")
        if mode == "1":
            notes.append(Note("bilevel_to_grey", "1-bit image, written as 8-bit grey"))
    elif mode == "CMYK":
        image, how = _cmyk_to_srgb(opened)
        notes.append(Note("colours_converted", how))
        keeps_profile = False
    elif mode == "LAB":
        conversion = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        image = _required(ImageCms.applyTransform(opened, conversion))
        notes.append(Note("colours_converted", "Lab image converted to sRGB"))
        keeps_profile = False
    else:
        image = _in_mode(opened, "RGBA" if transparent else "RGB")
        if mode in ("P", "PA"):
            notes.append(Note("palette_expanded", "palette expanded to full colour"))
        elif mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
            notes.append(Note("colours_converted", f"{mode} image converted to RGB"))
    return DecodedPicture(_to_samples(image), mode, keeps_profile=keeps_profile, notes=notes)


def _in_mode(opened: PILImage.Image, mode: str) -> PILImage.Image:
    """Convert an image if it has another mode; Pillow would copy it otherwise."""
    return opened if opened.mode == mode else opened.convert(mode)


def _to_samples(image: PILImage.Image) -> NDArray[np.uint8]:
    """Return the samples (H, W, C) of an image with 8 bits, in memory of their own."""
    width, height = image.size
    samples = np.empty((height, width, len(image.getbands())), np.uint8)
    # In bands, because Pillow hands out copies.
    for band in bands_of(height):
        part = np.asarray(image.crop((0, band.start, width, band.stop)))
        samples[band] = part.reshape(samples[band].shape)
    return samples


def _decode_16_bits(opened: PILImage.Image) -> DecodedPicture:
    samples = np.asarray(opened).astype(np.uint16)[:, :, None]
    key = opened.info.get("transparency")
    if isinstance(key, int):
        opaque = (samples != key).astype(np.uint16) * np.uint16(65535)
        return DecodedPicture(np.concatenate([samples, opaque], axis=2), "LA16")
    return DecodedPicture(samples, "L16")


def _decode_32_bits(opened: PILImage.Image, name: Path) -> DecodedPicture:
    samples = np.asarray(opened)[:, :, None]
    scale = find_scale(samples, name)
    return DecodedPicture(to_unit(samples, scale), f"L {scale.dtype}", notes=scale_notes(scale), scale=scale)


def _cmyk_to_srgb(opened: PILImage.Image) -> tuple[PILImage.Image, str]:
    profile = opened.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(opened, source, target, outputMode="RGB")
            return _required(converted), "CMYK converted to sRGB by its profile, which is not kept"
        except (ImageCms.PyCMSError, OSError, ValueError):
            return opened.convert("RGB"), "CMYK converted to RGB without its profile, which could not be used"
    return opened.convert("RGB"), "CMYK converted to RGB without a profile"


def _required(converted: PILImage.Image | None) -> PILImage.Image:
    if converted is None:
        raise ValueError("the colour conversion gave no image")
    return converted


def _read_exif(
    opened: PILImage.Image, file_format: str, notes: list[Note]
) -> tuple[PILImage.Exif, bytes | None, int]:
    """Return the parsed tags, the upright block to keep, and the orientation of the stored pixels."""
    try:
        tags = opened.getexif()
        block: bytes | None = opened.info.get("exif")
        if file_format == "TIFF":
            block = tiff.descriptive_exif(tags)
        elif block is None and len(tags):
            block = tags.tobytes()
        orientation = tags.get(ORIENTATION_TAG, 1)
    except Exception as error:
        # Broken EXIF raises nearly anything and is no reason to refuse the pixels.
        notes.append(Note("exif_lost", f"the EXIF block is damaged and not kept ({error})"))
        return PILImage.Exif(), None, 1
    upright = with_upright_orientation(without_prefix(block)) if block else None
    return tags, upright, orientation if orientation in range(1, 9) else 1


def _to_planes(samples: NDArray[Any]) -> torch.Tensor:
    """Return (C, H, W) of the type of (H, W, C), in the same memory where torch can use it."""
    import torch

    if not samples.flags.writeable or min(samples.strides) < 0:
        samples = samples.copy()
    return torch.from_numpy(np.moveaxis(samples, 2, 0))


def _resolution(opened: PILImage.Image, file_format: str, tags: PILImage.Exif) -> tuple[float, float] | None:
    """Return the dots per inch that the file really states; Pillow makes some up where it states none."""
    stated = opened.info.get("jfif_unit") in (1, 2) or RESOLUTION_TAG in tags
    if file_format in ("JPEG", "TIFF") and not stated:
        return None
    dpi = opened.info.get("dpi")
    if dpi is None or not all(np.isfinite(float(value)) and float(value) > 0 for value in dpi):
        return None
    return (float(dpi[0]), float(dpi[1]))
