from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from polyrestore.errors import ImageError
from polyrestore.restoration.inputs import as_image

LEVELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def test_every_kind_of_input_gives_the_same_pixels() -> None:
    pixels = as_image(LEVELS).pixels
    assert pixels.shape == (3, 2, 4)
    assert pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels.numpy(), LEVELS.transpose(2, 0, 1) / 255, rtol=1e-6)
    encoded = io.BytesIO()
    PillowImage.fromarray(LEVELS).save(encoded, "PNG")
    for same in (
        encoded.getvalue(),
        PillowImage.fromarray(LEVELS),
        LEVELS.astype(np.float64) / 255,
        LEVELS.astype(np.uint16) * 257,
        pixels,
        pixels.unsqueeze(0),
        pixels.double(),
        as_image(LEVELS),
    ):
        torch.testing.assert_close(as_image(same).pixels, pixels, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_grey_arrays_become_three_equal_channels(kind: Any) -> None:
    grey = np.array([[0, 1], [1, 0]], dtype=kind)
    pixels = as_image(grey).pixels
    assert pixels.shape == (3, 2, 2)
    assert torch.equal(pixels[0], pixels[2])
    assert pixels[0, 0, 1] > 0


def test_sixteen_bit_pillow_images_keep_their_depth() -> None:
    image = PillowImage.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    assert as_image(image).pixels[0].tolist() == [[0.0, pytest.approx(257 / 65535), 1.0]]


def test_pillow_floats_are_taken_as_they_are() -> None:
    image = PillowImage.fromarray(np.array([[0.25, 0.5]], dtype=np.float32))
    assert as_image(image).pixels[1].tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"shape \(H, W, 3\) or \(H, W\), not \(4, 4, 4\)"),
        (np.zeros((4,), np.uint8), r"not \(4,\)"),
        (np.zeros((4, 4, 3), np.int32), "not int32"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels: 4x0"),
        (np.full((2, 2, 3), 255.0), r"must be in \[0, 1\]; divide 8-bit values by 255"),
        (torch.full((3, 2, 2), float("nan")), r"must be in \[0, 1\]"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "not torch.uint8"),
        (torch.zeros(1, 2, 2), r"not \(1, 2, 2\)"),
        (torch.zeros(2, 3, 2, 2), "a batch of 2 images .* one by one"),
        (b"bytes", "not a readable"),
        (7, "int is not an image"),
        ("missing.png", "missing.png"),
    ],
)
def test_what_cannot_be_an_image_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_image(source)
