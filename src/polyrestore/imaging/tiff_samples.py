"""TIFF pages that Pillow cannot hold, decoded by tifffile: more bits, floats, and further channels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyrestore.errors import ImageError

_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}
_PREMULTIPLIED, _PLAIN_ALPHA = 1, 2


@dataclass(frozen=True)
class TiffSamples:
    """What a page holds.

    Attributes:
        picture: (H, W, C) with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA), of the file's own type,
            not turned by the orientation tag.
        further: (H, W, N), channels that are neither colour nor alpha; N may be 0.
    """

    picture: NDArray[Any]
    further: NDArray[Any]


def read_tiff_samples(content: bytes, page_number: int = 0) -> TiffSamples:
    """Decode a page of a grey or RGB TIFF file.

    Args:
        content: of the file.
        page_number: from 0, in the order of the file's directories.

    Raises:
        ImageError: 0 is white, in a type that has no largest value.
        ValueError: the page has another layout, or a compression that needs the package imagecodecs.
        Exception: the file is damaged; of any class.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[page_number]
        assert isinstance(page, tifffile.TiffPage)
        samples = np.asarray(page.asarray())
        axes, photometric = page.axes, getattr(page.photometric, "name", "")
        extra = [int(kind) for kind in page.extrasamples]
    if axes not in ("YX", "YXS", "SYX") or samples.dtype.kind not in "uif":
        raise ValueError(f"its samples are {samples.dtype} with the axes {axes}")
    if axes == "YX":
        samples = samples[:, :, None]
    elif axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    colours = _COLOURS.get(photometric)
    if colours is None or samples.shape[2] < colours:
        raise ValueError(f"its photometric interpretation is {photometric or 'missing'}")
    colour = samples[:, :, :colours]
    if photometric == "MINISWHITE":
        colour = _inverted(colour)
    # Extra samples: 1 is alpha that the colours were multiplied with, 2 is plain alpha, 0 is anything.
    has_alpha = extra[:1] in ([_PREMULTIPLIED], [_PLAIN_ALPHA]) and samples.shape[2] > colours
    alpha = samples[:, :, colours : colours + has_alpha]
    if has_alpha and extra[0] == _PREMULTIPLIED:
        colour = _divided(colour, alpha)
    picture = np.concatenate([colour, alpha], axis=2) if has_alpha else np.ascontiguousarray(colour)
    return TiffSamples(picture, np.ascontiguousarray(samples[:, :, colours + has_alpha :]))


def alpha_of_one(alpha: NDArray[Any]) -> float:
    """Return the value that stands for opaque: of integers the largest that there are, of floats 1."""
    return 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)


def _inverted(colour: NDArray[Any]) -> NDArray[Any]:
    if colour.dtype.kind != "u":
        raise ImageError(f"a TIFF file in which 0 is white, which {colour.dtype} has no black for")
    inverted: NDArray[Any] = np.subtract(np.iinfo(colour.dtype).max, colour, dtype=colour.dtype)
    return inverted


def _divided(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return colours that alpha was multiplied with as they were before."""
    largest = alpha_of_one(alpha)
    smallest = 1e-6 if colour.dtype.kind == "f" else 1
    plain: NDArray[Any] = colour * largest / np.maximum(alpha, smallest).astype(np.float64)
    if colour.dtype.kind != "f":
        plain = np.minimum(np.rint(plain), largest)
    return plain.astype(colour.dtype)
