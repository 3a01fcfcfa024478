"""Files of several pictures, restored one after another with what was recognised in the first of them.

One recognition for all keeps the frames of an animation from flickering, and the pages of a stack comparable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from polyrestore.imaging import Image, open_pages
from polyrestore.restoration.inputs import ImageLike, as_image, read_stream
from polyrestore.restoration.restored import Restored


def as_pages(source: ImageLike) -> Iterator[Image]:
    """Yield the pictures of anything that stands for an image, each decoded when it is asked for.

    Args:
        source: as for :func:`~polyrestore.restoration.inputs.as_image`; of a file, all pages or frames, as
            levels.

    Raises:
        ImageError: the file cannot be read, or the array has another shape, type or range.
    """
    name: str | None = None
    if hasattr(source, "read") and not isinstance(source, (str, os.PathLike)):
        source, name = read_stream(source)  # type: ignore[arg-type]
    if isinstance(source, (bytes, bytearray, memoryview)):
        content: bytes | Path = bytes(source)
    elif isinstance(source, (str, os.PathLike)) and os.fspath(source):
        content = Path(source)
    else:
        yield as_image(source, as_levels=True)
        return
    with open_pages(content, name=name, as_levels=True) as pages:
        yield from pages


def restore_pages(
    restore: Callable[[Image], Restored],
    restore_alike: Callable[[Image, Restored], Restored],
    pages: Iterable[Image],
) -> Iterator[Restored]:
    """Restore pictures one after another, all with the composition of the first one.

    Args:
        restore: what restores the first one.
        restore_alike: what restores the others as the first one was.
        pages: the pictures; the next one is taken when it is its turn.

    Yields:
        each picture, restored; the recognition is that of the first one.

    Raises:
        PolyrestoreError: as :meth:`~polyrestore.restoration.restorer.Restorer.restore` does.
    """
    first: Restored | None = None
    for page in pages:
        if first is None:
            first = restore(page)
            yield first
        else:
            yield restore_alike(page, first)
