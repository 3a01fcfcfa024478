"""What users hand over as an image, turned into pixels: paths, bytes, files, images, arrays and tensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from polyrestore.errors import ImageError
from polyrestore.imaging import Image, ImageMetadata, read_image, read_pillow
from polyrestore.imaging.image import MODES_8, MODES_16
from polyrestore.imaging.levels import to_floats

ImageLike: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | PillowImage.Image
    | NDArray[np.generic]
    | Tensor
    | Image
)


def as_image(source: ImageLike, *, as_levels: bool = False) -> Image:
    """Return the pixels of anything that stands for an image, with all that is known beside them.

    The same picture gives the same pixels on every way.

    Args:
        source: a path; an image file's bytes, or a file object that was opened for reading them; an
            :class:`~polyrestore.imaging.Image`; a Pillow image, whose orientation, alpha, profile and EXIF
            count as a file's; an array (H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1]; or a float
            tensor (C, H, W) or (1, C, H, W) in [0, 1]. C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
        as_levels: leave the pixels of a file, a Pillow image or whole numbers as levels; see
            :func:`~polyrestore.imaging.read_image`.

    Raises:
        ImageError: the file cannot be read, or the array has another shape, type or range.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_image(bytes(source), as_levels=as_levels)
    if isinstance(source, (str, os.PathLike)):
        if not os.fspath(source):
            raise ImageError("the path of the image is empty")
        return read_image(Path(source), as_levels=as_levels)
    if isinstance(source, PillowImage.Image):
        return read_pillow(source, as_levels=as_levels)
    if isinstance(source, np.ndarray):
        return _from_array(source, as_levels)
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if hasattr(source, "read"):
        content, name = read_stream(source)
        return read_image(content, name=name, as_levels=as_levels)
    raise ImageError(
        f"{type(source).__name__} is not an image; give a path, bytes, a binary file, a Pillow image, "
        "an array or a tensor"
    )


def read_stream(stream: BinaryIO) -> tuple[bytes, str]:
    """Return what a file object gives, and what messages call it.

    Raises:
        ImageError: it cannot be read, gives no bytes, or has nothing to give.
    """
    name = getattr(stream, "name", None)
    known = name if isinstance(name, str) and name else "the file object"
    try:
        content: Any = stream.read()
    except (OSError, ValueError) as error:
        # A closed file, one that was opened for writing, and a text that is none.
        raise ImageError(f"cannot read {known}: {error}") from error
    if not isinstance(content, bytes):
        raise ImageError(f"{known} gives {type(content).__name__}, not bytes; open it in binary mode")
    if not content:
        raise ImageError(f"{known} has nothing to read; is it empty, or at its end?")
    return content, known


def _from_array(array: NDArray[np.generic], as_levels: bool) -> Image:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in MODES_8:
        raise ImageError(
            f"an array must have the shape (H, W) or (H, W, C) with 1 to 4 channels, not {array.shape}"
        )
    floating = np.issubdtype(array.dtype, np.floating)
    if not floating and array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an array must hold uint8, uint16 or floats in [0, 1], not {array.dtype}")
    # In memory of their own, since the array stays the caller's.
    planes = torch.from_numpy(np.array(array.transpose(2, 0, 1), np.float32 if floating else None, order="C"))
    if floating:
        return _from_planes(_in_range(planes), bit_depth=8)
    if not as_levels:
        planes = to_floats(planes)
    return _from_planes(planes, bit_depth=8 if array.dtype == np.uint8 else 16)


def _from_tensor(tensor: Tensor) -> Image:
    if tensor.dim() == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() == 4:
        raise ImageError(
            f"a batch of {tensor.shape[0]} images needs a composition for each: restore them one by one"
        )
    if tensor.dim() != 3 or tensor.shape[0] not in MODES_8:
        raise ImageError(
            f"a tensor must have the shape (C, H, W) or (1, C, H, W) with 1 to 4 channels, "
            f"not {tuple(tensor.shape)}"
        )
    if not tensor.is_floating_point():
        raise ImageError(f"a tensor must hold floats in [0, 1], not {tensor.dtype}")
    return _from_planes(_in_range(tensor.detach().to(torch.float32)), bit_depth=8)


def _in_range(planes: Tensor) -> Tensor:
    # Also false where a value is not a number.
    if not bool(((planes >= 0) & (planes <= 1)).all()):
        raise ImageError("pixel values must be in [0, 1]; divide 8-bit values by 255")
    return planes


def _from_planes(planes: Tensor, bit_depth: int) -> Image:
    """Return the image of planes (C, H, W), floats in [0, 1] or levels."""
    if planes.numel() == 0:
        raise ImageError(f"the image has no pixels: {planes.shape[2]}x{planes.shape[1]}")
    channels = len(planes)
    grey, has_alpha = channels < 3, channels in (2, 4)
    metadata = ImageMetadata(
        mode=(MODES_8 if bit_depth == 8 else MODES_16)[channels],
        bit_depth=bit_depth,
        grey=grey,
        alpha=to_floats(planes[-1:]).clone() if has_alpha else None,
    )
    colour = planes[:1].expand(3, -1, -1) if grey else planes[:3]
    return Image(colour.contiguous() if colour.is_floating_point() else colour, metadata)
