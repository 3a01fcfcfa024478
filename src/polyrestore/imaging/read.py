"""Image files in: decoded once, upright, as float32 RGB, with all that has to be kept beside the pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import inf
from pathlib import Path

from PIL import Image as PILImage
from PIL import UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from polyrestore.errors import ImageError, ImageTooLargeError, MissingExtraError, NotAnImageError
from polyrestore.imaging.content import read_content
from polyrestore.imaging.formats.base import FileFormat
from polyrestore.imaging.formats.registry import FORMATS, find_format
from polyrestore.imaging.image import Image
from polyrestore.imaging.metadata.reading import find_extras
from polyrestore.imaging.metadata.tags import MASK_PAGE, REDUCED_PAGE, kind_of_page
from polyrestore.imaging.pillow import assemble_image, read_tags
from polyrestore.imaging.tiff import READ_AS_EXIF
from polyrestore.notes import Note

# As much as reading an image, restoring it and writing it with 8 bits takes at its peak.
_BYTES_PER_PIXEL = 25
_LARGE_MEGAPIXELS = 16


def read_image(
    source: str | Path | bytes,
    *,
    name: str | Path | None = None,
    max_megapixels: float | None = None,
    as_levels: bool = False,
) -> Image:
    """Read a file of any format in ``FORMATS``; its content counts, not its name.

    The orientation is applied to the pixels and set to 1 in the metadata. Colour profiles are kept beside
    the pixels and not applied, except that CMYK becomes sRGB.

    Args:
        source: the file's path, or its bytes.
        name: what messages and notes call the file; the path by default.
        max_megapixels: larger images are refused; None for Pillow's limit, 179 unless somebody changed it.
        as_levels: leave the pixels as the file's own levels, a quarter or half of the memory; files of floats
            and of integers of 32 bits still give floats.

    Returns:
        The image with pixels (3, H, W) float32 in [0, 1], or as levels.

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, too large or of another kind.
        MissingExtraError: the format needs a library that is not installed.
    """
    if isinstance(source, bytes):
        content, known = source, Path("image" if name is None else name)
    else:
        content, known = read_content(source), Path(source if name is None else name)
    file_format = require_format(content, known)
    with explain_errors(known, file_format), file_format.open(content) as opened:
        pages, notes = find_pages(opened, file_format)
        if pages[0] != opened.tell():
            opened.seek(pages[0])
        require_size(opened.size, known, max_megapixels)
        image = read_opened(content, known, opened, file_format, as_levels=as_levels)
        if len(pages) > 1:
            what = "pages" if file_format.name == "TIFF" else "frames"
            notes = (Note("frames_lost", f"holds {len(pages)} {what}, only the first is used"), *notes)
        return replace(image, notes=(*image.notes, *notes))


def require_format(content: bytes, known: str | Path) -> FileFormat:
    """Return the format of a file.

    Args:
        content: the file's bytes.
        known: what messages call the file.

    Raises:
        NotAnImageError: it is none that can be read.
    """
    file_format = find_format(content)
    if file_format is None:
        raise NotAnImageError(f"{known}: not a readable {', '.join(FORMATS)} image")
    return file_format


@contextmanager
def explain_errors(known: str | Path, file_format: FileFormat) -> Iterator[None]:
    """Let whatever a decoder raises in a block become an error that names the file.

    Args:
        known: what messages call the file.
        file_format: of the file.

    Raises:
        ImageError: the block raised something.
        MissingExtraError: the format needs a library that is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images and odd EXIF; the one is legitimate, the other is kept as it is.
            warnings.simplefilter("ignore")
            yield
    except MissingExtraError as error:
        raise MissingExtraError(f"{known}: {error.purpose}", error.library, error.extra) from error
    except ImageError as error:
        raise error if str(known) in str(error) else type(error)(f"{known}: {error}") from error
    except UnidentifiedImageError as error:
        # Pillow says no more than that, and says so about an object in memory.
        raise ImageError(f"{known}: begins as {file_format.name} does, but cannot be read as it") from error
    except MemoryError:
        # Nothing is wrong with the file.
        raise
    except Exception as error:
        # Damaged files make decoders raise nearly anything, and each of those means the same to the caller.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{known}: the image is truncated or damaged ({reason})") from error


def read_sizes(source: str | Path | bytes, *, name: str | Path | None = None) -> list[tuple[int, int]]:
    """Return the widths and heights of all pictures of a file that are restored, without decoding them.

    Those are all pages or frames where the format's writer holds several, and the first one elsewhere.

    Args:
        source: the file's path, or its bytes.
        name: what messages call the file; the path by default.

    Raises:
        ImageError: the file cannot be opened, or is no image.
    """
    from polyrestore.imaging.page_files import JOINED_FORMATS

    if isinstance(source, bytes):
        content, path = source, Path("image" if name is None else name)
    else:
        content, path = read_content(source), Path(source if name is None else name)
    file_format = require_format(content, path)
    with explain_errors(path, file_format), file_format.open(content) as opened:
        if file_format.name not in JOINED_FORMATS:
            return [opened.size]
        pages, _ = find_pages(opened, file_format)
        if file_format.name != "TIFF":
            # The frames of an animation have one size, and looking at each would decode them.
            return [opened.size] * len(pages)
        sizes = []
        for page in pages:
            opened.seek(page)
            sizes.append(opened.size)
        return sizes


def require_size(size_px: tuple[int, int], name: Path, max_megapixels: float | None) -> None:
    """Refuse a picture that is larger than a limit.

    Args:
        size_px: its width and height.
        name: what messages call the file.
        max_megapixels: the limit; None for Pillow's.

    Raises:
        ImageTooLargeError: it is larger, or needs more memory than is free.
    """
    if max_megapixels is None:
        most = PILImage.MAX_IMAGE_PIXELS
        max_megapixels = inf if most is None else 2 * most / 1e6
    width, height = size_px
    megapixels = width * height / 1e6
    size = f"{width}x{height} are {megapixels:g} megapixels"
    if megapixels > max_megapixels:
        wanted = int(megapixels) + 1
        raise ImageTooLargeError(
            f"{name}: {size} and the limit is {max_megapixels:g}; --max-megapixels {wanted} raises it"
        )
    if megapixels > _LARGE_MEGAPIXELS:
        _require_room(megapixels, f"{name}: {size}")


def _require_room(megapixels: float, what: str) -> None:
    import torch

    from polyrestore.devices import available_bytes, gigabytes

    needed, free = int(megapixels * 1e6 * _BYTES_PER_PIXEL), available_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise ImageTooLargeError(
            f"{what}, which need about {gigabytes(needed)} of memory; {gigabytes(free)} are free"
        )


def find_pages(opened: PILImage.Image, file_format: FileFormat) -> tuple[list[int], tuple[Note, ...]]:
    """Return at which places of a file its pages are, and what the others are.

    The parts of a JPEG file behind its first picture are no pages, nor are the reduced copies and masks that
    TIFF files declare as such.

    Args:
        opened: the file.
        file_format: of the file.
    """
    if file_format.name == "JPEG":
        return [0], ()
    if not isinstance(opened, TiffImageFile):
        # A HEIC file is opened at its primary picture, which need not be the first one.
        primary = opened.tell()
        others = (place for place in range(getattr(opened, "n_frames", 1)) if place != primary)
        return [primary, *others], ()
    kinds: list[int] = []
    # Pillow cannot count pages where one of them, such as a mask, is of a kind that it does not decode.
    with suppress(EOFError):
        while True:
            with suppress(SyntaxError):
                opened.seek(len(kinds))
            kinds.append(kind_of_page(opened.tag_v2))
    opened.seek(0)
    pages = [place for place, kind in enumerate(kinds) if not kind & (REDUCED_PAGE | MASK_PAGE)]
    if not pages:
        return list(range(len(kinds))), ()
    lost = len(kinds) - len(pages)
    what = "1 reduced copy or mask" if lost == 1 else f"{lost} reduced copies or masks"
    return pages, (Note("pages_lost", f"not kept: {what} of a page"),) if lost else ()


def read_opened(
    content: bytes,
    name: Path,
    opened: PILImage.Image,
    file_format: FileFormat,
    *,
    as_levels: bool = False,
) -> Image:
    """Return the picture that an opened file stands at.

    Args:
        content: the file's bytes.
        name: what messages and notes call the file.
        opened: the file.
        file_format: of the file.
        as_levels: as for :func:`read_image`.
    """
    notes: list[Note] = []
    if name.suffix and name.suffix.lower() not in file_format.suffixes:
        sentence = f"the name ends in {name.suffix!r} but the content is {file_format.name}"
        notes.append(Note("name_differs", sentence))
    # Pillow takes the orientation of a TIFF file away while it decodes.
    tags = read_tags(opened, file_format.name)
    decoded = file_format.decode(content, name, opened)
    lossless = file_format.is_lossless(content, opened)
    found = find_extras(content, opened, file_format.name, READ_AS_EXIF, keeps_colours=decoded.keeps_profile)
    image = assemble_image(
        opened,
        decoded,
        tags,
        file_format.name,
        found,
        lossless=lossless,
        notes=notes,
        as_levels=as_levels,
    )
    return replace(image, metadata=replace(image.metadata, encoding=file_format.encoding(opened)))
