"""What happens to the file or the print: JPEG compression and missing pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import chance, column, pixel_grid, uniform

LUMINANCE_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)


@dataclass(frozen=True)
class Jpeg:
    """Baseline JPEG (ITU-T T.81, annex K tables) and back.

    Attributes:
        quality: quality at severity 0 and 1, on the usual scale of 1 to 100.
        subsampled_share: probability that the colour is stored at half resolution (4:2:0).
        shifted_share: probability that the grid of 8x8 blocks does not start at the corner, as in a crop.
    """

    quality: tuple[float, float] = (95.0, 5.0)
    subsampled_share: float = 0.75
    shifted_share: float = 0.3

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return compressed images (B, 3, H, W)."""
        quality = (self.quality[0] + (self.quality[1] - self.quality[0]) * severity).round()
        subsampled = chance(generator, image.shape[0], self.subsampled_share)
        shift = (0, 0)
        if torch.rand((), generator=generator) < self.shifted_share:
            down, right = torch.randint(8, (2,), generator=generator).tolist()
            shift = (min(down, image.shape[2] - 1), min(right, image.shape[3] - 1))
        shifted = functional.pad(image, (shift[1], 0, shift[0], 0), mode="replicate")
        return compress(shifted, quality, subsampled)[..., shift[0] :, shift[1] :]


def compress(image: Tensor, quality: Tensor, subsampled: Tensor) -> Tensor:
    """Encode and decode a batch as JPEG.

    Args:
        image: (B, 3, H, W) in [0, 1].
        quality: (B,) between 1 and 100.
        subsampled: (B, 1, 1, 1), 1 for 4:2:0 and 0 for 4:4:4.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    height, width = image.shape[-2:]
    pixels = (image.clamp(0, 1) * 255).round()
    padded = functional.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate")
    red, green, blue = padded.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    chrominance = torch.stack([(blue - luminance) / 1.772, (red - luminance) / 1.402], 1)
    luminance = _quantise_blocks(luminance[:, None] - 128, _table(LUMINANCE_TABLE, quality)) + 128
    table = _table(CHROMINANCE_TABLE, quality)
    flags = subsampled.view(-1) > 0.5
    decoded = torch.empty_like(chrominance)
    if flags.any():
        half = _quantise_blocks(functional.avg_pool2d(chrominance[flags], 2), table[flags])
        decoded[flags] = functional.interpolate(half, scale_factor=2, mode="bilinear")
    if not flags.all():
        decoded[~flags] = _quantise_blocks(chrominance[~flags], table[~flags])
    blue_part, red_part = decoded[:, :1], decoded[:, 1:]
    red = luminance + 1.402 * red_part
    green = luminance - 0.344136 * blue_part - 0.714136 * red_part
    blue = luminance + 1.772 * blue_part
    restored = torch.cat([red, green, blue], 1)[..., :height, :width]
    return restored.round().clamp(0, 255) / 255


def _table(table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Scale an annex K table the way common encoders do: (B,) qualities to (B, 1, 1, 1, 8, 8)."""
    base = torch.tensor(table, dtype=torch.float32)
    quality = quality.clamp(1, 100).view(-1, 1, 1, 1, 1, 1)
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)


def _cosine_basis() -> Tensor:
    index = torch.arange(8, dtype=torch.float32)
    basis = torch.cos((2 * index[None] + 1) * index[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _quantise_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Round the cosine coefficients of 8x8 blocks: planes (B, C, H, W), sizes multiples of 8."""
    count, channels, height, width = planes.shape
    basis = _cosine_basis()
    blocks = planes.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = basis @ blocks @ basis.T
    rounded = (coefficients / table).round() * table
    return (basis.T @ rounded @ basis).transpose(3, 4).reshape(count, channels, height, width)


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
