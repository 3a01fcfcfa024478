"""Holes in a file or a print."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.degradations.base import chance, column, pixel_grid, uniform


@dataclass(frozen=True)
class MissingPixels:
    """Holes in the picture: brush strokes, rectangles, or single pixels that are lost.

    Attributes:
        strokes: number of strokes and rectangles at severity 0 and 1.
        width_share: range of a stroke's half width, as a share of the image's shorter side.
        lost_share: share of single pixels lost at severity 1, in the samples that lose single pixels.
        scattered_share: probability of losing single pixels instead of strokes.
    """

    strokes: tuple[int, int] = (1, 9)
    width_share: tuple[float, float] = (0.006, 0.03)
    lost_share: float = 0.8
    scattered_share: float = 0.25

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images with holes of one flat colour (B, 3, H, W)."""
        count, _, height, width = image.shape
        size = (height, width)
        wanted = (self.strokes[0] + (self.strokes[1] - self.strokes[0]) * column(severity)).round()
        holes = torch.zeros((count, 1, height, width))
        for index in range(int(wanted.max())):
            stroke = self._stroke(count, size, generator) * (index < wanted).float()
            holes = torch.maximum(holes, stroke)
        lost = torch.rand((count, 1, height, width), generator=generator)
        scattered = (lost < 0.05 + (self.lost_share - 0.05) * column(severity)).float()
        holes = torch.where(chance(generator, count, self.scattered_share) > 0, scattered, holes)
        grey = torch.rand((count, 1, 1, 1), generator=generator).round().expand(count, 3, 1, 1)
        colour = torch.rand((count, 3, 1, 1), generator=generator)
        fill = torch.where(chance(generator, count, 0.3) > 0, colour, grey)
        return image * (1 - holes) + fill * holes

    def _stroke(self, count: int, size: tuple[int, int], generator: Generator) -> Tensor:
        """Draw one bent stroke (or a rectangle, one time in five) per sample: (B, 1, H, W)."""
        rows, columns = pixel_grid(size)
        height, width = size
        shorter = min(size)
        low, high = self.width_share
        radius = (uniform(generator, count, low, high) * shorter).clamp(min=0.6)
        row, middle = uniform(generator, count, 0, height), uniform(generator, count, 0, width)
        angle = uniform(generator, count, 0, 2 * math.pi)
        length = uniform(generator, count, 0.1, 0.4) * shorter
        mask = torch.zeros((count, 1, height, width))
        for _ in range(3):
            end_row, end_middle = row + length * angle.sin(), middle + length * angle.cos()
            down, right = end_row - row, end_middle - middle
            scale = (down.square() + right.square()).clamp(min=1e-6)
            along = (((rows - row) * down + (columns - middle) * right) / scale).clamp(0, 1)
            distance = (rows - row - along * down).square() + (columns - middle - along * right).square()
            mask = torch.maximum(mask, (distance < radius.square()).float())
            row, middle = end_row, end_middle
            angle = angle + uniform(generator, count, -1, 1)
        sides = uniform(generator, count, 0.02, 0.1) * shorter
        box = ((rows - row).abs() < sides) & ((columns - middle).abs() < sides * 1.5)
        return torch.where(chance(generator, count, 0.2) > 0, box.float(), mask)
