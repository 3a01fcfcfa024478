"""Files of several pictures: the pages of a TIFF file, the frames of an animation, decoded one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from PIL import Image as PILImage

from polyrestore.imaging.content import read_content
from polyrestore.imaging.exif import ORIENTATION_TAG
from polyrestore.imaging.image import Frame, Image
from polyrestore.imaging.read import (
    explain_errors,
    find_pages,
    read_opened,
    require_format,
    require_size,
)


class Pages:
    """The pictures of a file in their order; only one of them is decoded at a time.

    Example:
        >>> with Pages(Path("scan.tif").read_bytes(), Path("scan.tif")) as pages:    # doctest: +SKIP
        ...     sizes = [page.pixels.shape for page in pages]

    Attributes:
        notes: what of the file is not among the pages.
        as_levels: whether pictures are given as levels; see :func:`~polyrestore.imaging.read_image`.

    Raises:
        ImageError: the file is damaged or of another kind.
    """

    def __init__(
        self, content: bytes, name: Path, max_megapixels: float | None = None, *, as_levels: bool = False
    ) -> None:
        self.as_levels = as_levels
        self._content = content
        self._name = name
        self._max_megapixels = max_megapixels
        self._format = require_format(content, name)
        with explain_errors(name, self._format):
            self._opened: PILImage.Image | None = self._format.open(content)
            self._places, self.notes = find_pages(self._opened, self._format)

    def __enter__(self) -> Pages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Image]:
        """Yield each picture as a file of its own would be read.

        Raises:
            ImageError: a picture is truncated, damaged or too large.
        """
        for number in range(len(self)):
            yield self.read(number)

    def read(self, number: int) -> Image:
        """Return one picture; those of animations are decoded from the first one on.

        Args:
            number: from 0.

        Raises:
            ImageError: the picture is truncated, damaged or too large.
        """
        place = self._places[number]
        several = len(self) > 1
        name = Path(f"{self._name}, page {number + 1}") if several else self._name
        with explain_errors(name, self._format):
            opened = self._open()
            if opened.tell() != place:
                opened.seek(place)
            require_size(opened.size, name, self._max_megapixels)
            found = read_opened(self._content, self._name, opened, self._format, as_levels=self.as_levels)
            notes = (*found.notes, *(self.notes if number == 0 else ()))
            metadata = found.metadata
            if several and self._format.name != "TIFF":
                metadata = replace(metadata, frame=_timing(opened, place))
            if not several:
                # An opened file would hold the decoded picture a second time.
                self.close()
            return Image(found.pixels, metadata, notes)

    def all_upright(self) -> bool:
        """Say whether no picture is stored turned or mirrored; none of them is decoded."""
        with explain_errors(self._name, self._format):
            opened = self._open()
            for place in self._places:
                opened.seek(place)
                if opened.getexif().get(ORIENTATION_TAG, 1) != 1:
                    return False
                if self._format.name != "TIFF":
                    # The orientation of an animation is said once.
                    break
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _open(self) -> PILImage.Image:
        if self._opened is None:
            self._opened = self._format.open(self._content)
        return self._opened


def open_pages(
    source: str | Path | bytes,
    *,
    name: str | Path | None = None,
    max_megapixels: float | None = None,
    as_levels: bool = False,
) -> Pages:
    """Open a file of one picture or several.

    Args:
        source: the file's path, or its bytes.
        name: what messages and notes call the file; the path by default.
        max_megapixels: larger pictures are refused; None for Pillow's limit.
        as_levels: give pictures as levels; see :func:`~polyrestore.imaging.read_image`.

    Raises:
        ImageError: the file is missing, empty, damaged or of another kind.
    """
    if isinstance(source, bytes):
        content, known = source, Path("image" if name is None else name)
    else:
        content, known = read_content(source), Path(source if name is None else name)
    return Pages(content, known, max_megapixels, as_levels=as_levels)


def _timing(opened: PILImage.Image, place: int) -> Frame:
    hidden = bool(getattr(opened, "default_image", False)) and place == 0
    background = opened.info.get("background", (0, 0, 0, 0))
    return Frame(
        duration_ms=float(opened.info.get("duration", 0)),
        loops=_loops(opened),
        shown=not hidden,
        background=tuple(background) if isinstance(background, tuple) and len(background) == 4 else (0,) * 4,
    )


def _loops(opened: PILImage.Image) -> int:
    """Return how often an animation is shown, 0 for ever; a GIF file says how often it is repeated."""
    stated = opened.info.get("loop")
    if opened.format != "GIF":
        return int(stated or 0)
    return 1 if stated is None else int(stated) + (stated > 0)
