"""From a photograph to the small square that CLIP's image encoder takes, in torch alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.errors import RecognitionError
from polyrestore.files import read_text

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# More of a long side than this many short sides is cut off before the image is enlarged or reduced.
_LONGEST = 8


@dataclass(frozen=True)
class Preprocessing:
    """How CLIP was shown its images.

    Attributes:
        image_size: side of the square, in pixels.
        mean: subtracted from the channels, RGB in [0, 1].
        std: divides the channels afterwards.
        resize_px: the shortest side after resizing, before the middle is cut out; ``image_size`` where None.
    """

    image_size: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    resize_px: int | None = None

    def __call__(self, image: Tensor) -> Tensor:
        """Return normalised squares (B, 3, S, S) of whole images (B, 3, H, W), RGB in [0, 1].

        The shortest side is resized to ``resize_px`` (bicubic, with antialiasing) and the middle is cut out.
        """
        image = _without_far_ends(image)
        height, width = image.shape[-2:]
        resize_px = self.resize_px or self.image_size
        short = min(height, width)
        size = (height * resize_px // short, width * resize_px // short)
        if size != (height, width):
            image = functional.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)
        top, left = ((length - self.image_size) // 2 for length in size)
        square = image[..., top : top + self.image_size, left : left + self.image_size].clamp(0, 1)
        mean, std = (torch.tensor(values).to(square).view(3, 1, 1) for values in (self.mean, self.std))
        return (square - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which :func:`preprocessing_of` makes it again."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


def preprocessing_of(values: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that plain values describe.

    Raises:
        RecognitionError: an unknown key, or a value that cannot be used.
    """
    unknown = set(values) - set(Preprocessing.__dataclass_fields__)
    if unknown or "image_size" not in values:
        raise RecognitionError(f"image preprocessing cannot be described by {', '.join(sorted(values))}")
    size, resize_px = values["image_size"], values.get("resize_px")
    for name, value in (("image_size", size), ("resize_px", resize_px)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise RecognitionError(f"{name} must be a whole number of pixels, not {value!r}")
    if resize_px is not None and resize_px < size:
        raise RecognitionError(f"resize_px {resize_px} is less than the image_size {size} cut out of it")
    mean = _channels(values.get("mean", CLIP_MEAN), "mean")
    std = _channels(values.get("std", CLIP_STD), "std")
    if not all(value > 0 for value in std):
        raise RecognitionError(f"std must be above 0, not {list(std)}")
    return Preprocessing(size, mean, std, resize_px)


def read_preprocessing(folder: Path, image_size: int) -> Preprocessing:
    """Read the preprocessing of a CLIP folder; CLIP's own where the folder does not say.

    Args:
        folder: with ``preprocessor_config.json`` or ``processor_config.json``, or neither.
        image_size: that the image encoder takes.

    Raises:
        RecognitionError: the file is damaged, or asks for another size than the encoder takes.
    """
    path, content = _processor_config(folder)
    crop = _side(content.get("crop_size"), image_size)
    if crop != image_size:
        raise RecognitionError(f"{path} cuts out {crop} pixels, but the image encoder takes {image_size}")
    resize_px = _side(content.get("size"), image_size)
    described = {
        "image_size": image_size,
        "mean": content.get("image_mean", CLIP_MEAN),
        "std": content.get("image_std", CLIP_STD),
        "resize_px": None if resize_px == image_size else resize_px,
    }
    try:
        return preprocessing_of(described)
    except RecognitionError as error:
        raise RecognitionError(f"{path}: {error}") from error


def _processor_config(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        try:
            content = json.loads(read_text(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise RecognitionError(f"{path} cannot be read: {error}") from error
        content = content.get("image_processor", content) if isinstance(content, dict) else None
        if not isinstance(content, dict):
            raise RecognitionError(f"{path} does not describe an image processor")
        return path, content
    return folder, {}


def _side(value: Any, default: int) -> Any:
    """Return the side that a processor's ``size`` or ``crop_size`` means."""
    if isinstance(value, Mapping):
        return value.get("shortest_edge", value.get("height", default))
    return default if value is None else value


def _channels(values: Any, name: str) -> tuple[float, ...]:
    numbers = isinstance(values, Sequence) and all(isinstance(value, int | float) for value in values)
    if not numbers or len(values) != 3:
        raise RecognitionError(f"{name} must be three numbers, not {values!r}")
    return tuple(float(value) for value in values)


def _without_far_ends(image: Tensor) -> Tensor:
    """Cut what cannot reach the middle off very long images, which would be enlarged beyond any memory."""
    short = min(image.shape[-2:])
    kept = max(_LONGEST * short, 64)
    for dimension in (-2, -1):
        excess = image.shape[dimension] - kept
        if excess > 1:
            image = image.narrow(dimension, excess // 2, image.shape[dimension] - 2 * (excess // 2))
    return image
