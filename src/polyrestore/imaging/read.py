"""Image files in: decoded once, upright, as float32 RGB, with all that has to be kept beside the pixels."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageCms, UnidentifiedImageError

from polyrestore.errors import ImageError
from polyrestore.imaging import png16, tiff
from polyrestore.imaging.content import read_content, sniff_format
from polyrestore.imaging.exif import (
    ORIENTATION_TAG,
    RESOLUTION_TAG,
    turn_upright,
    with_upright_orientation,
    without_prefix,
)
from polyrestore.imaging.image import FORMATS, Image, ImageMetadata
from polyrestore.imaging.quiet import silence_tiff

_MODES_16 = {1: "L16", 2: "LA16", 3: "RGB16", 4: "RGBA16"}
_COMMENT_KEYS = ("comment", "xmp", "XML:com.adobe.xmp")


@dataclass
class _Decoded:
    """Samples (H, W, C) uint8 or uint16 with C = 1, 2, 3 or 4, and what was found out on the way to them."""

    samples: NDArray[Any]
    mode: str
    upright: bool = False
    keeps_profile: bool = True
    notes: list[str] = field(default_factory=list)


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
    notes: list[str] = []
    # MPO is the JPEG with several pictures inside that some cameras and telephones write.
    file_format = "JPEG" if opened.format == "MPO" else str(opened.format)
    if name.suffix and name.suffix.lower() not in FORMATS[file_format].suffixes:
        notes.append(f"the name ends in {name.suffix!r} but the content is {file_format}")
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        notes.append(f"holds {frames} frames, only the first is used")

    tags, exif, orientation = _read_exif(opened, file_format, notes)
    dpi = _resolution(opened, file_format, tags)

    decoded = _decode(content, name, opened, file_format)
    notes += decoded.notes
    if any(key in opened.info for key in _COMMENT_KEYS) or getattr(opened, "text", None):
        notes.append("comments and XMP are not kept")
    profile = opened.info.get("icc_profile") or None
    if profile is not None and not decoded.keeps_profile:
        profile = None

    samples = decoded.samples if decoded.upright else turn_upright(decoded.samples, orientation)
    grey, has_alpha = samples.shape[2] < 3, samples.shape[2] in (2, 4)
    planes = _to_float(samples)
    metadata = ImageMetadata(
        format=file_format,
        mode=decoded.mode,
        bit_depth=16 if samples.dtype == np.uint16 else 8,
        grey=grey,
        alpha=planes[-1:].clone() if has_alpha else None,
        icc_profile=profile,
        exif=exif,
        dpi=dpi,
        lossless=_is_lossless(content, opened, file_format),
        orientation=orientation,
    )
    colour = planes[:1].repeat(3, 1, 1) if grey else planes[:3].contiguous()
    return Image(colour, metadata, tuple(notes))


def _read_exif(
    opened: PILImage.Image, file_format: str, notes: list[str]
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
        notes.append(f"the EXIF block is damaged and not kept ({error})")
        return PILImage.Exif(), None, 1
    upright = with_upright_orientation(without_prefix(block)) if block else None
    return tags, upright, orientation if orientation in range(1, 9) else 1


def _to_float(samples: NDArray[Any]) -> torch.Tensor:
    """Return (C, H, W) float32 in [0, 1] of (H, W, C) uint8 or uint16."""
    largest = np.iinfo(samples.dtype).max
    planes = np.ascontiguousarray(np.moveaxis(samples, 2, 0), dtype=np.float32)
    return torch.from_numpy(planes).div_(largest)


def _decode(content: bytes, name: Path, opened: PILImage.Image, file_format: str) -> _Decoded:
    if file_format == "PNG":
        header = png16.read_header(content, name)
        if header.bit_depth == 16 and not header.interlaced:
            samples = png16.read_png16(content, name)
            opened.load()
            return _Decoded(samples, _MODES_16[samples.shape[2]])
    if file_format == "TIFF" and set(opened.tag_v2.get(258, ())) == {16}:  # type: ignore[attr-defined]
        try:
            samples = tiff.read_tiff16(content)
        except Exception as error:
            # Compressions that tifffile leaves to an optional package are still read by Pillow.
            decoded = replace(_decode_by_pillow(opened, name), upright=True)
            if decoded.samples.dtype == np.uint8:
                decoded.notes.append(f"16-bit TIFF read with 8 bits per channel ({error})")
            return decoded
        return _Decoded(samples, _MODES_16[samples.shape[2]])
    decoded = _decode_by_pillow(opened, name)
    if file_format == "PNG" and header.bit_depth == 16 and decoded.samples.dtype == np.uint8:
        decoded.notes.append("interlaced 16-bit PNG read with 8 bits per channel")
    # Pillow turns TIFF images by itself while it decodes them, and no others.
    return replace(decoded, upright=file_format == "TIFF")


def _decode_by_pillow(opened: PILImage.Image, name: Path) -> _Decoded:
    opened.load()
    mode = opened.mode
    transparent = opened.has_transparency_data
    notes: list[str] = []
    keeps_profile = True
    if mode in ("F", "I"):
        raise ImageError(f"{name}: {mode} samples (32 bits); convert it to 8 or 16 bits")
    if mode.startswith("I;16"):
        return _Decoded(np.asarray(opened).astype(np.uint16)[:, :, None], "L16")
    if mode in ("1", "L", "LA", "La"):
        image = opened.convert("LA" if transparent else "L")
        if mode == "1":
            notes.append("1-bit image, written as 8-bit grey")
    elif mode == "CMYK":
        image, how = _cmyk_to_srgb(opened)
        notes.append(how)
        keeps_profile = False
    elif mode == "LAB":
        conversion = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        image = _required(ImageCms.applyTransform(opened, conversion))
        notes.append("Lab image converted to sRGB")
        keeps_profile = False
    else:
        image = opened.convert("RGBA" if transparent else "RGB")
        if mode in ("P", "PA"):
            notes.append("palette expanded to full colour")
        elif mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
            notes.append(f"{mode} image converted to RGB")
    samples = np.asarray(image)
    return _Decoded(
        samples[:, :, None] if samples.ndim == 2 else samples, mode, keeps_profile=keeps_profile, notes=notes
    )


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


def _resolution(opened: PILImage.Image, file_format: str, tags: PILImage.Exif) -> tuple[float, float] | None:
    """Return the dots per inch that the file really states; Pillow makes some up where it states none."""
    stated = opened.info.get("jfif_unit") in (1, 2) or RESOLUTION_TAG in tags
    if file_format in ("JPEG", "TIFF") and not stated:
        return None
    dpi = opened.info.get("dpi")
    if dpi is None or not all(np.isfinite(float(value)) and float(value) > 0 for value in dpi):
        return None
    return (float(dpi[0]), float(dpi[1]))


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
