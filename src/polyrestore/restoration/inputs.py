"""What users hand over as an image, turned into pixels: paths, bytes, Pillow images, arrays and tensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from polyrestore.errors import ImageError
from polyrestore.imaging import Image, ImageMetadata, read_image

ImageLike: TypeAlias = (
    str | os.PathLike[str] | bytes | PillowImage.Image | NDArray[np.generic] | Tensor | Image
)

_LEVELS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def as_image(source: ImageLike) -> Image:
    """Return the pixels of anything that stands for an image, with the metadata where it came from a file.

    Args:
        source: a path; an image file's bytes; an :class:`~polyrestore.imaging.Image`; a Pillow image; an
            array (H, W, 3) or (H, W) of uint8, uint16 or floats in [0, 1]; or a float tensor (3, H, W) or
            (1, 3, H, W) in [0, 1].

    Raises:
        ImageError: the file cannot be read, or the array has another shape, type or range.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, bytes):
        return read_image(source)
    if isinstance(source, (str, os.PathLike)):
        return read_image(Path(source))
    if isinstance(source, PillowImage.Image):
        return Image(_from_array(_pillow_array(source)), ImageMetadata())
    if isinstance(source, np.ndarray):
        return Image(_from_array(source), ImageMetadata())
    if isinstance(source, Tensor):
        return Image(_from_tensor(source), ImageMetadata())
    raise ImageError(
        f"{type(source).__name__} is not an image; give a path, bytes, Pillow image, array or tensor"
    )


def _pillow_array(image: PillowImage.Image) -> NDArray[np.generic]:
    # Pillow clips these modes to 8 bits when it converts them.
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.size and (levels.min() < 0 or levels.max() > 65535):
            raise ImageError(f"Pillow image of mode {image.mode!r} has values outside 0 to 65535")
        return levels.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _from_array(array: NDArray[np.generic]) -> Tensor:
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"an array must have the shape (H, W, 3) or (H, W), not {array.shape}")
    if array.dtype in _LEVELS:
        scaled = array.astype(np.float32) / np.float32(_LEVELS[array.dtype])
    elif np.issubdtype(array.dtype, np.floating):
        scaled = array.astype(np.float32)
    else:
        raise ImageError(f"an array must hold uint8, uint16 or floats in [0, 1], not {array.dtype}")
    return _from_tensor(torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1))))


def _from_tensor(tensor: Tensor) -> Tensor:
    if tensor.dim() == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() == 4:
        raise ImageError(
            f"a batch of {tensor.shape[0]} images needs a composition for each: restore them one by one"
        )
    if tensor.dim() != 3 or tensor.shape[0] != 3:
        raise ImageError(f"a tensor must have the shape (3, H, W) or (1, 3, H, W), not {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ImageError(f"a tensor must hold floats in [0, 1], not {tensor.dtype}")
    if tensor.numel() == 0:
        raise ImageError(f"the image has no pixels: {tensor.shape[2]}x{tensor.shape[1]}")
    pixels = tensor.detach().to(torch.float32)
    # Also false where a value is not a number.
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("pixel values must be in [0, 1]; divide 8-bit values by 255")
    return pixels
