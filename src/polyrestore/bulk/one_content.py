"""One image file's bytes in, the bytes of its result out: what a run, and the web page, do with a picture.

Nothing here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polyrestore.errors import OutputError
from polyrestore.imaging import (
    FORMATS,
    Image,
    Pages,
    Quality,
    encode_image,
    encode_pages,
    holds_pages,
    open_pages,
    writable_format,
)
from polyrestore.imaging.levels import equal_pictures
from polyrestore.imaging.read import require_size
from polyrestore.imaging.write import stored_type
from polyrestore.notes import Note
from polyrestore.restoration.explanation import Encode
from polyrestore.restoration.restored import Restored
from polyrestore.restoration.restorer import Restorer


@dataclass(frozen=True)
class Order:
    """How one image is restored, and what its result is called.

    Attributes:
        name: what messages and notes call the image.
        output: the name or path of the result, whose ending names the format that it is written in.
        as_: the composition to use instead of the recognised one.
        strength: from 0, the input, to 1, the restored image.
        explain: also show what each adapter did.
        format: the name of the format that was asked for; None for that of the input, or what is written in
            its place.
        jpeg_quality: of a result that is a JPEG file, as :func:`~polyrestore.imaging.encode_image` takes it.
        max_megapixels: a larger image is refused, and a larger result; None for Pillow's limit.
    """

    name: Path
    output: Path
    as_: str | Mapping[str, float] | None = None
    strength: float = 1.0
    explain: bool = False
    format: str | None = None
    jpeg_quality: Quality = None
    max_megapixels: float | None = None


@dataclass(frozen=True, eq=False)
class RestoredContent:
    """The result of one image file.

    Attributes:
        content: the bytes of the result.
        restored: the first picture of the file.
        seconds: that restoring took, all pictures together, without reading and writing.
        notes: what a reader should know.
        explaining: what makes each file that explains the result, by name.
    """

    content: bytes
    restored: Restored
    seconds: float
    notes: tuple[Note, ...]
    explaining: Mapping[str, Encode] = field(default_factory=dict)


def restore_content(content: bytes, order: Order, restorer: Restorer) -> RestoredContent:
    """Restore an image file that is there as bytes, all its pages or frames included.

    Args:
        content: the file.
        order: how; the ending of its output must be one that can be written.
        restorer: what restores.

    Raises:
        PolyrestoreError: the image cannot be read, restored or written, or the composition does not fit.
    """
    limit = order.max_megapixels
    with open_pages(content, name=order.name, max_megapixels=limit, as_levels=True) as pages:
        return _restore_pages(content, order, restorer, pages)


def _restore_pages(content: bytes, order: Order, restorer: Restorer, pages: Pages) -> RestoredContent:
    image = pages.read(0)
    _require_result(order, restorer, image)
    explaining: Mapping[str, Encode] = {}
    if order.explain:
        explanation = restorer.explain(image, order.as_, order.strength)
        restored, explaining = explanation.restored, explanation.files()
    else:
        kept = stored_type(order.output, image.metadata)
        restored = restorer.restore(image, order.as_, order.strength, dtype=kept)
    _require_size(order, restorer, restored, image)
    seconds = restored.seconds
    if len(pages) > 1 and holds_pages(order.output, image.metadata):
        encoded, notes, more_seconds = _encode_pages(order, restorer, pages, image, restored, content)
        seconds += more_seconds
    else:
        encoded, notes = _encode_result(order, restorer, image, restored, content)
        if len(pages) > 1 and encoded is not content:
            sentence = f"holds {len(pages)} pictures, only the first is used"
            notes = (Note("frames_lost", sentence), *notes)
    if order.output.name != order.name.name:
        notes = (*notes, Note("renamed", f"written as {order.output.name}"))
    recognition = restored.recognition
    notes = (*notes, *(() if recognition is None else recognition.remarks()))
    return RestoredContent(encoded, restored, seconds, notes, explaining)


def _encode_result(
    order: Order, restorer: Restorer, image: Image, restored: Restored, content: bytes
) -> tuple[bytes, tuple[Note, ...]]:
    """Return the bytes of the result, and what a reader should know about them."""
    # Encoding an image that nothing was done to could only make it worse.
    if _may_be_copied(order, restorer, image) and equal_pictures(restored.pixels.cpu(), image.pixels):
        return content, (Note("unchanged", "nothing to restore, copied byte for byte"),)
    quality = order.jpeg_quality if order.output.suffix.lower() in FORMATS["JPEG"].suffixes else None
    encoded, lost = encode_image(order.output, restored.pixels, restored.metadata, quality=quality)
    return encoded, (*image.notes, *lost)


def _encode_pages(
    order: Order, restorer: Restorer, pages: Pages, image: Image, first: Restored, content: bytes
) -> tuple[bytes, tuple[Note, ...], float]:
    """Return the bytes of a file of several pictures, what a reader should know, and the time it took.

    They are read, restored and encoded one by one; the time is that of restoring those after the first.
    """
    untouched = first.unchanged or order.strength == 0
    if untouched and _may_be_copied(order, restorer, image) and pages.all_upright():
        return content, (Note("unchanged", "nothing to restore, copied byte for byte"),), 0.0
    seconds = [0.0]
    told = dict.fromkeys(image.notes)

    def restored_pages() -> Iterator[Restored]:
        yield first
        for number in range(1, len(pages)):
            page = pages.read(number)
            kept = stored_type(order.output, page.metadata)
            restored = restorer.restore_alike(page, first, order.strength, dtype=kept)
            _require_size(order, restorer, restored, page)
            told.update(dict.fromkeys(page.notes))
            seconds.append(restored.seconds)
            yield restored

    encoded, lost = encode_pages(order.output, restored_pages())
    return encoded, (*told, *lost), sum(seconds)


def _require_result(order: Order, restorer: Restorer, image: Image) -> None:
    """Refuse an image whose result would be larger than images may be."""
    scale = restorer.scale
    if scale > 1:
        height, width = (scale * side for side in image.pixels.shape[-2:])
        require_size((width, height), Path(f"{order.name}, {scale} times as large"), order.max_megapixels)


def _require_size(order: Order, restorer: Restorer, restored: Restored, image: Image) -> None:
    channels, height, width = image.pixels.shape
    if restored.pixels.shape != (channels, restorer.scale * height, restorer.scale * width):
        sizes = f"{tuple(restored.pixels.shape)} from {tuple(image.pixels.shape)}"
        raise OutputError(f"{order.name}: restored to {sizes}")


def _may_be_copied(order: Order, restorer: Restorer, image: Image) -> bool:
    """Return whether an input that nothing is done to may be its own result."""
    if restorer.scale > 1:
        return False
    own = image.metadata.format
    whole = not any(note.code in ("end_missing", "pixels_missing") for note in image.notes)
    return whole and image.metadata.orientation == 1 and writable_format(order.format or own).name == own
