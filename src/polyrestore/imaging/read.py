"""Image files in: decoded once, upright, as float32 RGB, with all that has to be kept beside the pixels."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from polyrestore.errors import ImageError, MissingExtraError
from polyrestore.imaging.content import open_content, read_content
from polyrestore.imaging.formats.base import FileFormat
from polyrestore.imaging.formats.registry import FORMATS, find_format
from polyrestore.imaging.image import Image
from polyrestore.imaging.pillow import assemble_image, read_tags
from polyrestore.notes import Note


def read_image(
    source: str | Path | bytes, *, name: str | Path | None = None, max_megapixels: float | None = None
) -> Image:
    """Read a file of any format in ``FORMATS``; its content counts, not its name.

    The orientation is applied to the pixels and set to 1 in the metadata. Colour profiles are kept beside
    the pixels and not applied, except that CMYK becomes sRGB.

    Args:
        source: the file's path, or its bytes.
        name: what messages and notes call the file; the path by default.
        max_megapixels: larger images are refused; None for Pillow's limit, 179 unless somebody changed it.

    Returns:
        The image with pixels (3, H, W) float32 in [0, 1].

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, too large or of another kind.
        MissingExtraError: the format needs a library that is not installed.
    """
    if isinstance(source, bytes):
        content, known = source, Path("image" if name is None else name)
    else:
        content, known = read_content(source), Path(source if name is None else name)
    file_format = find_format(content)
    if file_format is None:
        raise ImageError(f"{known}: not a readable {', '.join(FORMATS)} image")
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images and odd EXIF; the one is legitimate, the other is kept as it is.
            warnings.simplefilter("ignore")
            with file_format.open(content) as opened:
                _require_size(opened, known, max_megapixels)
                return _read_opened(content, known, opened, file_format)
    except MissingExtraError as error:
        raise MissingExtraError(f"{known}: {error.purpose}", error.library, error.extra) from error
    except ImageError as error:
        raise error if str(known) in str(error) else ImageError(f"{known}: {error}") from error
    except UnidentifiedImageError as error:
        # Pillow says no more than that, and says so about an object in memory.
        raise ImageError(f"{known}: begins as {file_format.name} does, but cannot be read as it") from error
    except Exception as error:
        # Damaged files make decoders raise nearly anything, and each of those means the same to the caller.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{known}: the image is truncated or damaged ({reason})") from error


def read_size(path: str | Path) -> tuple[int, int]:
    """Return the width and height that an image file announces, without decoding it.

    Raises:
        Exception: the file cannot be opened, or is no image; of any class.
    """
    with open_content(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = stream.read()
        file_format = find_format(content)
        if file_format is None:
            raise ImageError(f"{path}: not an image")
        with file_format.open(content) as opened:
            return opened.size


def _require_size(opened: PILImage.Image, name: Path, max_megapixels: float | None) -> None:
    if max_megapixels is None:
        if PILImage.MAX_IMAGE_PIXELS is None:
            return
        max_megapixels = 2 * PILImage.MAX_IMAGE_PIXELS / 1e6
    megapixels = opened.width * opened.height / 1e6
    if megapixels > max_megapixels:
        size = f"{opened.width}x{opened.height} are {megapixels:g} megapixels"
        wanted = int(megapixels) + 1
        raise ImageError(
            f"{name}: {size} and the limit is {max_megapixels:g}; --max-megapixels {wanted} raises it"
        )


def _read_opened(content: bytes, name: Path, opened: PILImage.Image, file_format: FileFormat) -> Image:
    notes: list[Note] = []
    if name.suffix and name.suffix.lower() not in file_format.suffixes:
        sentence = f"the name ends in {name.suffix!r} but the content is {file_format.name}"
        notes.append(Note("name_differs", sentence))
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        notes.append(Note("frames_lost", f"holds {frames} frames, only the first is used"))

    # Pillow takes the orientation of a TIFF file away while it decodes.
    tags = read_tags(opened, file_format.name)
    decoded = file_format.decode(content, name, opened)
    lossless = file_format.is_lossless(content, opened)
    image = assemble_image(opened, decoded, tags, file_format.name, lossless=lossless, notes=notes)
    return replace(image, metadata=replace(image.metadata, encoding=file_format.encoding(opened)))
