"""Raindrops on the glass in front of the lens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import column, pixel_grid, uniform

_SHAPES = 12


@dataclass(frozen=True)
class Raindrop:
    """Drops on the glass: each shows the scene upside down, shrunk and blurred, inside a dark rim.

    Drops of three sizes lie in cells of three grids, at most one in each cell, so that any number of them is
    drawn at once.

    Attributes:
        cell_share: side of the three grids' cells as shares of the image's shorter side, smallest first.
        filled: probability that a cell holds a drop at severity 1, by grid.
    """

    cell_share: tuple[float, ...] = (0.05, 0.12, 0.28)
    filled: tuple[float, ...] = (0.5, 0.55, 0.45)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images seen through drops (B, 3, H, W)."""
        count, _, height, width = image.shape
        amount, size = column(severity), (height, width)
        # How much of the drops' rim is blurred: the camera focuses on the scene, seldom on the glass.
        defocus = uniform(generator, count, 0.3, 3.5) * min(size) / 256 + 0.3
        alpha = torch.zeros((count, 1, height, width))
        shade = torch.zeros_like(alpha)
        rows, columns = pixel_grid(size)
        source_rows = rows.expand_as(alpha).clone()
        source_columns = columns.expand_as(alpha).clone()
        for share, filled in zip(self.cell_share, self.filled, strict=True):
            drops = _Drops(size, max(3.0, share * min(size)), filled * amount, generator)
            right, down, distance, radius = drops.around(rows, columns)
            cover = torch.sigmoid((1 - distance) * radius * 3 / defocus) * drops.present
            # The normal of the drop turns outwards towards its rim, and the ray with it.
            bend = 0.35 + 0.65 * distance.clamp(max=1).square()
            reach = drops.reach * bend
            inside = (cover > alpha).float()
            source_rows = torch.lerp(source_rows, rows - down * reach * height, inside)
            source_columns = torch.lerp(source_columns, columns - right * reach * width, inside)
            rim = distance.clamp(0, 1) ** 6 * drops.rim
            glint = torch.exp(-((right + 0.35).square() + (down + 0.4).square()) * 30) * drops.glint
            shade = torch.lerp(shade, drops.light - rim + glint, inside)
            alpha = torch.maximum(alpha, cover)
        seen = _sample_small(image, source_rows, source_columns)
        alpha = alpha * uniform(generator, count, 0.6, 1.0)
        return image * (1 - alpha) + (seen * (1 + shade)).clamp(0, 1) * alpha


class _Drops:
    """The drops of one grid, looked up for every pixel.

    Attributes:
        present: (B, 1, H, W), 1 where the pixel's cell holds a drop.
        reach: how much of the scene the drop shows, as a share of the picture.
        rim: how dark its rim is.
        glint: how bright the reflection of the light is.
        light: by how much the drop is brighter than the scene.
    """

    def __init__(self, size: tuple[int, int], cell: float, filled: Tensor, generator: Generator) -> None:
        count = filled.shape[0]
        # Cells are up to twice as high as wide, for drops that run down.
        tall = uniform(generator, count, 1, 2)
        offset = torch.rand((count, 2, 1, 1), generator=generator)
        rows, columns = pixel_grid(size)
        grid_rows, grid_columns = rows / (cell * tall) + offset[:, :1], columns / cell + offset[:, 1:]
        down, across = int(size[0] / cell) + 2, int(size[1] / cell) + 2
        index = (grid_rows.floor() * across + grid_columns.floor()).long().flatten(1)
        table = torch.rand((count, _SHAPES, down * across), generator=generator)
        values = table.gather(2, index[:, None].expand(-1, _SHAPES, -1)).view(count, _SHAPES, *size)
        drawn = [values[:, shape : shape + 1] for shape in range(_SHAPES)]
        self.present = (drawn[0] < filled).float()
        self.radius = cell * (0.2 + 0.22 * drawn[1])
        self.squeeze = (0.8 + 0.35 * drawn[2]) * tall.sqrt()
        self.bulge = 0.5 * drawn[3]
        self.reach = 0.1 + 0.35 * drawn[4]
        self.rim = 0.2 + 0.6 * drawn[5]
        self.glint = 0.8 * (drawn[6] - 0.4).clamp(min=0)
        self.light = 0.35 * drawn[7] - 0.15
        self.wobble = drawn[8:11]
        reach_down = (self.radius * self.squeeze / (cell * tall)).clamp(max=0.48)
        reach_right = (self.radius / cell).clamp(max=0.48)
        self.row = (
            (grid_rows.floor() - offset[:, :1] + reach_down + (1 - 2 * reach_down) * drawn[11]) * cell * tall
        )
        shift = reach_right + (1 - 2 * reach_right) * drawn[9]
        self.column = (grid_columns.floor() - offset[:, 1:] + shift) * cell

    def around(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return each pixel's place in its cell's drop, in radii: right, down, distance; and the radius."""
        down = (rows - self.row) / (self.radius * self.squeeze)
        right = (columns - self.column) / self.radius
        # Heavier below than above, and not quite round.
        right = right * (1 - self.bulge * 0.5 * down)
        distance = (right.square() + down.square()).sqrt()
        lobes = (right.square() - down.square()) / distance.square().clamp(min=1e-6)
        lopsided = right * down / distance.square().clamp(min=1e-6)
        uneven = 1 + 0.25 * (self.wobble[0] - 0.5) * lobes + 0.4 * (self.wobble[2] - 0.5) * lopsided
        return right, down, distance * uneven, self.radius


def _sample_small(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Look up (B, 1, H, W) places in a reduced image, which is all that a drop's small lens shows."""
    height, width = image.shape[2:]
    factor = max(1, min(4, min(height, width) // 8))
    small = functional.avg_pool2d(image, factor, ceil_mode=True)
    spans = (2 / max(width - 1, 1), 2 / max(height - 1, 1))
    grid = torch.cat([columns * spans[0], rows * spans[1]], 1) - 1
    return functional.grid_sample(
        small, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="reflection", align_corners=True
    )
