"""Raindrops on the glass in front of the lens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import column, convolve_each, disk_kernels, pixel_grid, uniform


@dataclass(frozen=True)
class Raindrop:
    """Drops on the glass: each shows the scene upside down, shrunk and blurred, a little brighter or darker.

    Attributes:
        drops: number of drops at severity 0 and 1.
        radius_share: range of a drop's radius as a share of the image's shorter side.
    """

    drops: tuple[int, int] = (3, 26)
    radius_share: tuple[float, float] = (0.015, 0.11)

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return images seen through drops (B, 3, H, W)."""
        count, _, height, width = image.shape
        rows, columns = pixel_grid((height, width))
        source_rows = rows.expand(count, 1, height, width).clone()
        source_columns = columns.expand(count, 1, height, width).clone()
        cover = torch.zeros((count, 1, height, width))
        light = torch.zeros((count, 1, height, width))
        wanted = (self.drops[0] + (self.drops[1] - self.drops[0]) * column(severity)).round()
        shorter = min(height, width)
        for index in range(int(wanted.max())):
            present = (index < wanted).float()
            row = uniform(generator, count, 0, height)
            middle = uniform(generator, count, 0, width)
            low, high = self.radius_share
            radius = shorter * (low + (high - low) * uniform(generator, count, 0, 1) ** 2) + 1
            squeeze = uniform(generator, count, 0.7, 1.1)
            down, right = rows - row, (columns - middle) / squeeze
            distance = (down.square() + right.square()).sqrt() / radius
            inside = torch.sigmoid((1 - distance) * radius.clamp(max=12) * 0.6) * present
            zoom = uniform(generator, count, 1.5, 4)
            source_rows = torch.lerp(source_rows, row - down * zoom, (inside > 0.5).float())
            source_columns = torch.lerp(source_columns, middle - right * zoom, (inside > 0.5).float())
            shade = uniform(generator, count, -0.12, 0.2) - 0.25 * distance.clamp(0, 1) ** 4
            light = torch.lerp(light, shade.expand_as(light), inside)
            cover = torch.maximum(cover, inside)
        spans = (2 / max(width - 1, 1), 2 / max(height - 1, 1))
        grid = torch.cat([source_columns * spans[0], source_rows * spans[1]], 1) - 1
        blurred = convolve_each(image, disk_kernels(torch.full((count,), max(1.0, shorter / 80)), 8))
        seen = functional.grid_sample(
            blurred, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="reflection", align_corners=True
        )
        opacity = cover * uniform(generator, count, 0.75, 1.0)
        return image * (1 - opacity) + (seen * 0.85 + light).clamp(0, 1) * opacity
