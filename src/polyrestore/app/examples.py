"""Photographs to try the page with: free ones, damaged here in known ways when they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from polyrestore.app.page_files import PHOTOGRAPHS
from polyrestore.degradations import degrade
from polyrestore.imaging import ImageMetadata, encode_image, read_image


@dataclass(frozen=True)
class Example:
    """A photograph, and what is done to it.

    Attributes:
        title: what is to be seen.
        photograph: the file of the undamaged one.
        severities: of each degradation, from 0 to 1.
    """

    title: str
    photograph: str
    severities: Mapping[str, float]


EXAMPLES: dict[str, Example] = {
    "cat-noise": Example("A cat, noisy", "chelsea.jpg", {"noise": 0.5}),
    "coffee-rain": Example("A cup of coffee, in the rain", "coffee.jpg", {"rain": 0.6}),
    "astronaut-dark": Example("An astronaut, in the dark", "astronaut.jpg", {"low_light": 0.6}),
    "rocket-snow": Example("A rocket, in the snow", "rocket.jpg", {"snow": 0.6}),
}
"""The examples by name."""


@cache
def make_example(name: str) -> bytes:
    """Return an example as a PNG file, the same each time.

    Args:
        name: a key of :data:`EXAMPLES`.
    """
    example = EXAMPLES[name]
    image = read_image(PHOTOGRAPHS / example.photograph)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    damaged = degrade(image.pixels[None], example.severities, generator)[0]
    return encode_image(f"{name}.png", damaged, ImageMetadata())[0]
