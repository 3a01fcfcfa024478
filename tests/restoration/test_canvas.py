"""A result that is kept as levels is what its floats are rounded to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polyrestore.imaging import Image, ImageMetadata, encode_image, read_image
from polyrestore.imaging.levels import LARGEST_LEVEL, convert_levels, equal_pictures, to_levels
from polyrestore.restoration.restorer import Restorer
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle

ALPHA = torch.cat([torch.zeros(1, 16, 20), torch.full((1, 16, 20), 0.5)], 2)
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "grey": {"grey": True}, "alpha": {"alpha": ALPHA}}


def picture(kind: str, bit_depth: int) -> bytes:
    pixels = random_image(16, 40)[0]
    if kind == "grey":
        pixels = pixels[:1].repeat(3, 1, 1)
    return encode_image("a.png", pixels, ImageMetadata(bit_depth=bit_depth, **KINDS[kind]))[0]


@pytest.mark.parametrize(("kind", "quality"), [("plain", "normal"), ("grey", "normal"), ("alpha", "best")])
def test_levels_are_the_rounded_floats(kind: str, quality: str) -> None:
    restorer = Restorer(tiny_bundle(spread=0.5), tile_px=32, quality=quality)
    for bit_depth, dtype in zip((8, 16), LARGEST_LEVEL, strict=True):
        content = picture(kind, bit_depth)
        floats, levels = (
            restorer.restore(content, "noise", 0.75, dtype=each).pixels for each in (torch.float32, dtype)
        )
        assert floats.dtype == torch.float32
        assert levels.dtype == dtype
        if kind == "grey":
            floats = floats.mean(0, keepdim=True).expand(3, -1, -1)
        assert equal_pictures(to_levels(floats, dtype), levels)
        given = read_image(content).pixels
        assert float((floats - given).abs().max()) > 0.01
        # The same from floats, as arrays and tensors come.
        again = restorer.restore(Image(given, read_image(content).metadata), "noise", 0.75, dtype=dtype)
        assert equal_pictures(again.pixels, levels)
        untouched = restorer.restore(content, "noise", 0, dtype=dtype).pixels
        assert equal_pictures(untouched, convert_levels(given, dtype))
