"""Files of several pictures, restored one after another with what was recognised in the first of them.

One recognition for all keeps the frames of an animation from flickering, and the pages of a stack comparable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from polyrestore.imaging import Image, open_pages
from polyrestore.restoration.blending import blend_into
from polyrestore.restoration.hidden import fill_hidden, keep_hidden
from polyrestore.restoration.inputs import ImageLike, as_image, read_stream
from polyrestore.restoration.restored import Restored

Apply: TypeAlias = Callable[[Sequence[Tensor], Mapping[str, float]], list[Tensor]]
"""Runs images through one composition: :meth:`~polyrestore.restoration.restorer.Restorer.apply`."""


def as_pages(source: ImageLike) -> Iterator[Image]:
    """Yield the pictures of anything that stands for an image, each decoded when it is asked for.

    Args:
        source: as for :func:`~polyrestore.restoration.inputs.as_image`; of a file, all pages or frames.

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
        yield as_image(source)
        return
    with open_pages(content, name=name) as pages:
        yield from pages


def restore_pages(
    restore: Callable[[Image], Restored], apply: Apply, pages: Iterable[Image], strength: float = 1.0
) -> Iterator[Restored]:
    """Restore pictures one after another, all with the composition of the first one.

    Args:
        restore: what restores the first one.
        apply: what runs the others through the same composition.
        pages: the pictures; the next one is taken when it is its turn.
        strength: from 0, the input, to 1, the restored image.

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
            yield restore_alike(apply, page, first, strength)


def restore_alike(apply: Apply, page: Image, first: Restored, strength: float) -> Restored:
    """Restore a picture with the composition that another one was restored with.

    Args:
        apply: what runs it through the composition.
        page: the picture.
        first: the other one.
        strength: from 0, the input, to 1, the restored image.
    """
    started = time.perf_counter()
    pixels = page.pixels
    if not first.unchanged:
        shown = fill_hidden(page)
        restored = apply([shown], first.weights)[0]
        pixels = keep_hidden(page, blend_into(restored, shown, strength))
    seconds = time.perf_counter() - started
    return Restored(
        pixels, first.weights, first.recognition, seconds, page.metadata, page.notes, bare=first.bare
    )
