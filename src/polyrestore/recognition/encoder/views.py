"""What the shipped recogniser looks at: the whole image, reduced, and a few crops at full resolution."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.recognition.encoder.statistics import measure_statistics

WHOLE_PX = 256
LONGEST_PX = 640
CROP_PX = 128
LEAST_PX = 64
# Even crops, then the flattest one and the busiest one.
CROPS = 6
_EVEN = ((0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8))
_DARKEST, _BRIGHTEST = 0.03, 0.97


class Views(NamedTuple):
    """What is looked at of one image.

    Attributes:
        whole: (1, 3, h, w) the image, reduced.
        crops: (6, 3, p, q) at full resolution.
        measured: (S,) plain statistics.
    """

    whole: Tensor
    crops: Tensor
    measured: Tensor


def look_at(image: Tensor) -> Views:
    """Return the views of one image (1, 3, H, W), RGB in [0, 1]."""
    whole = reduce_whole(image)
    crops = cut_crops(image, whole)
    return Views(whole, crops, measure_statistics(image, whole, crops))


def reduce_whole(image: Tensor) -> Tensor:
    """Reduce whole images (B, 3, H, W) to a short side of 256 pixels; smaller ones keep their size.

    A very long image is reduced until its long side is 640 pixels, and a side never falls below 64.
    """
    height, width = image.shape[-2:]
    scale = min(1.0, WHOLE_PX / min(height, width), LONGEST_PX / max(height, width))
    size = [max(LEAST_PX, round(side * scale)) for side in (height, width)]
    # An image of many megapixels is thinned first: what it looks like as a whole does not hang on each pixel.
    step = max(1, min(height, width) // (4 * WHOLE_PX))
    thinned = image[..., ::step, ::step]
    if list(thinned.shape[-2:]) == size:
        return thinned
    return functional.interpolate(thinned, size=size, mode="bilinear", antialias=True, align_corners=False)


def cut_crops(image: Tensor, whole: Tensor) -> Tensor:
    """Cut crops at full resolution: four even ones, the flattest and the busiest; in that order.

    Args:
        image: one image (1, 3, H, W).
        whole: the same image reduced, (1, 3, h, w), which decides where it is flat and where busy.

    Returns:
        (6, 3, 128, 128); smaller images give smaller crops, of at least 64 pixels by repeating the border.
    """
    height, width = image.shape[-2:]
    tall, wide = min(height, CROP_PX), min(width, CROP_PX)
    rows, columns = height - tall, width - wide
    places = [(round(rows * down), round(columns * right)) for down, right in _EVEN]
    places += _flattest_and_busiest(whole, height, width, tall, wide)
    crops = torch.cat([image[..., top : top + tall, left : left + wide] for top, left in places])
    short_rows, short_columns = max(0, LEAST_PX - tall), max(0, LEAST_PX - wide)
    if short_rows or short_columns:
        crops = functional.pad(crops, (0, short_columns, 0, short_rows), mode="replicate")
    return crops


def _flattest_and_busiest(
    whole: Tensor, height: int, width: int, tall: int, wide: int
) -> list[tuple[int, int]]:
    """Return the top left corners of the windows with the least and the most contrast.

    Where pixels are black or white nothing shows of the noise, so the flattest window avoids them.
    """
    grey = whole.mean(1, keepdim=True)
    window = (
        max(1, min(grey.shape[2], round(tall * grey.shape[2] / height))),
        max(1, min(grey.shape[3], round(wide * grey.shape[3] / width))),
    )
    stride = (max(1, window[0] // 4), max(1, window[1] // 4))
    steps = functional.pad((grey[..., 1:, 1:] - grey[..., :-1, :-1]).abs(), (0, 1, 0, 1))
    busy = functional.avg_pool2d(steps, window, stride)[0, 0]
    clipped = ((grey < _DARKEST) | (grey > _BRIGHTEST)).float()
    flat = busy + functional.avg_pool2d(clipped, window, stride)[0, 0]
    places = []
    for index in (int(flat.argmin()), int(busy.argmax())):
        down, right = divmod(index, busy.shape[1])
        top = round(down * stride[0] * height / grey.shape[2])
        left = round(right * stride[1] * width / grey.shape[3])
        places.append((min(top, height - tall), min(left, width - wide)))
    return places
