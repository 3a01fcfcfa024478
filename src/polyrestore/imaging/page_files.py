"""Several pictures out to one file: encoded one after another, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from polyrestore.errors import OutputError
from polyrestore.files import write_bytes
from polyrestore.imaging.image import ImageMetadata, Quality
from polyrestore.imaging.joining import GifJoiner, Joiner, PngJoiner, TiffJoiner, WebpJoiner
from polyrestore.imaging.write import encode_image, format_of
from polyrestore.notes import Note

_JOINERS: dict[str, Callable[[], Joiner]] = {
    "TIFF": TiffJoiner,
    "PNG": PngJoiner,
    "WEBP": WebpJoiner,
    "GIF": GifJoiner,
}
JOINED_FORMATS = frozenset(_JOINERS)
"""The formats whose files hold several pictures when they are written."""


class Page(Protocol):
    """A picture with what has to be kept beside it, such as an Image or a Restored."""

    @property
    def pixels(self) -> Tensor:
        """(3, H, W) in [0, 1]."""

    @property
    def metadata(self) -> ImageMetadata:
        """What has to be kept beside the pixels."""


def write_pages(path: str | Path, pages: Iterable[Page], *, quality: Quality = None) -> tuple[Note, ...]:
    """Write pages or frames in the format that the ending of ``path`` names, whole or not at all.

    Args:
        path: the file, replaced when it exists; missing folders are made.
        pages: as for :func:`encode_pages`, like the rest.
        quality: as for one picture.

    Returns:
        One sentence for each thing that the format could not keep.

    Raises:
        OutputError: as in :func:`encode_pages`, or the file cannot be written.
    """
    content, notes = encode_pages(path, pages, quality=quality)
    write_bytes(Path(path), content)
    return notes


def holds_pages(path: str | Path, metadata: ImageMetadata) -> bool:
    """Say whether the format that ``path`` is written in holds several pictures.

    Args:
        path: where the file will be.
        metadata: of the first picture.

    Raises:
        OutputError: neither names a format that can be written.
    """
    return format_of(Path(path), metadata).name in _JOINERS


def encode_pages(
    path: str | Path, pages: Iterable[Page], *, quality: Quality = None
) -> tuple[bytes, tuple[Note, ...]]:
    """Return the bytes of a file of several pictures, taking one after another.

    TIFF holds pages of any sizes and modes; animated PNG, WebP and GIF hold frames of one size, and how long
    each is shown. One picture alone is written as a file of one.

    Args:
        path: where the file will be; nothing is written there.
        pages: what is read or restored: pixels (3, H, W) in [0, 1], each with what is kept beside them.
        quality: as for one picture.

    Returns:
        The bytes, and one sentence for each thing that the format could not keep.

    Raises:
        OutputError: there is no page, or the format cannot hold them all.
    """
    path = Path(path)

    joiner: Joiner | None = None
    only: bytes | None = None
    notes: dict[Note, None] = {}
    for number, page in enumerate(pages):
        pixels, metadata = page.pixels, page.metadata
        description = format_of(path, metadata)
        content, told = encode_image(path, pixels, metadata, quality=quality)
        notes |= dict.fromkeys(told)
        if number == 0:
            only = content
            if description.name in _JOINERS:
                joiner = _JOINERS[description.name]()
        if joiner is None:
            if number:
                raise OutputError(
                    f"cannot write {path}: {description.name} holds one picture; TIFF holds several"
                )
            continue
        if number and metadata.frame is None and description.name != "TIFF":
            raise OutputError(f"cannot write {path}: {description.name} holds no pages; TIFF does")
        if number == 1 and metadata.frame is not None and description.name == "TIFF":
            notes[Note("timing_lost", "TIFF cannot hold how long frames are shown, dropped")] = None
        try:
            joiner.add(content, metadata, int(pixels.shape[2]), int(pixels.shape[1]))
        except OutputError as error:
            raise OutputError(f"cannot write {path}, page {number + 1}: {error}") from error
    if only is None:
        raise OutputError(f"cannot write {path}: there is no page")
    if joiner is None or number == 0:
        return only, tuple(notes)
    return joiner.finish(), tuple(notes)
