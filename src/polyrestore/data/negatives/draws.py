"""Random choices for drawing images, all from one generator that is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Generator, Tensor

Item = TypeVar("Item")
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Draws:
    """Draws numbers, members of lists and colours.

    Attributes:
        generator: source of all randomness.
        font: file of the font that text is drawn in; Pillow's own one when empty.
    """

    generator: Generator
    font: str = ""

    def number(self, low: float, high: float) -> float:
        """Return a number from low to high."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both of them possible."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def one_of(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[self.whole(0, len(items) - 1)]

    def happens(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.number(0, 1) < probability

    def colour(self, low: int = 0, high: int = 255) -> Colour:
        """Return a colour whose three values are between low and high."""
        return self.whole(low, high), self.whole(low, high), self.whole(low, high)

    def ink_and_paper(self) -> tuple[Colour, Colour]:
        """Return a dark and a bright colour: those of print, mostly black and nearly white."""
        grey = self.whole(0, 60)
        ink = (grey, grey, grey) if self.happens(0.75) else self.colour(0, 110)
        shade = self.whole(225, 255)
        paper = (shade, shade, shade) if self.happens(0.7) else self.colour(200, 255)
        return ink, paper

    def plane(self, height: int, width: int) -> Tensor:
        """Return independent normal numbers (H, W)."""
        return torch.randn((height, width), generator=self.generator)

    def evenly(self, height: int, width: int) -> Tensor:
        """Return independent numbers from 0 to 1, (H, W)."""
        return torch.rand((height, width), generator=self.generator)
