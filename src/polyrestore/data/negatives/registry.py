"""The kinds of drawn images with which nothing is wrong, by name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from polyrestore.data.negatives.drawings import draw_cartoon, draw_chart, draw_code, draw_halftone, draw_lines
from polyrestore.data.negatives.draws import Draws
from polyrestore.data.negatives.text import draw_page, draw_terminal, draw_window
from polyrestore.data.negatives.textures import (
    draw_facade,
    draw_grains,
    draw_grating,
    draw_specimen,
    draw_stars,
    draw_strands,
)
from polyrestore.errors import (
    UnknownDataNameError,
    unknown_name,
)

NEGATIVES: MappingProxyType[str, Callable[[Draws, int, int], Image.Image]] = MappingProxyType(
    {
        "page": draw_page,
        "terminal": draw_terminal,
        "window": draw_window,
        "chart": draw_chart,
        "lines": draw_lines,
        "cartoon": draw_cartoon,
        "code": draw_code,
        "halftone": draw_halftone,
        "facade": draw_facade,
        "grating": draw_grating,
        "strands": draw_strands,
        "grains": draw_grains,
        "stars": draw_stars,
        "specimen": draw_specimen,
    }
)


def draw_negative(name: str, width: int, height: int, generator: Generator, font: str = "") -> Tensor:
    """Draw an image with which nothing is wrong.

    Args:
        name: a kind of ``NEGATIVES``.
        width: in pixels, at least 32.
        height: in pixels, at least 32.
        generator: source of all randomness.
        font: file of the font that text is drawn in; Pillow's own one when empty.

    Returns:
        (1, 3, H, W) in [0, 1], multiples of 1/255.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if name not in NEGATIVES:
        raise unknown_name("kind of drawing", name, NEGATIVES, UnknownDataNameError)
    picture = NEGATIVES[name](Draws(generator, font), width, height)
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None].float() / 255
