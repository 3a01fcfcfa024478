"""JPEG compression, as encoders and the way of a file from hand to hand do it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import chance, uniform

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
    """Baseline JPEG (ITU-T T.81) and back, once or twice.

    Cameras and sites store photographs at a quality of 85 to 95 and nobody calls them damaged, so severities
    begin below that.

    Attributes:
        quality: quality at severity 0 and 1, on the usual scale of 1 to 100.
        subsampled_share: probability that the colour is stored at half resolution, along both axes (4:2:0)
            or, one time in five of these, along rows only (4:2:2).
        shifted_share: probability that the grid of 8x8 blocks does not start at the corner, as in a crop.
        twice_share: probability that the file was compressed before, at a quality of 55 to 95 and on another
            grid.
        own_table_share: probability of other tables than those of annex K, as some encoders have them.
    """

    quality: tuple[float, float] = (88.0, 5.0)
    subsampled_share: float = 0.75
    shifted_share: float = 0.4
    twice_share: float = 0.25
    own_table_share: float = 0.4

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return compressed images (B, 3, H, W)."""
        count = image.shape[0]
        quality = (self.quality[0] + (self.quality[1] - self.quality[0]) * severity).round()
        before = chance(generator, count, self.twice_share).flatten().nonzero().flatten()
        if before.numel():
            first = uniform(generator, len(before), 55, 95).flatten().round()
            image = image.clone()
            image[before] = self._once(image[before], first, 1.0, generator)
        return self._once(image, quality, self.shifted_share, generator)

    def _once(self, image: Tensor, quality: Tensor, shifted: float, generator: Generator) -> Tensor:
        count = image.shape[0]
        subsampled = chance(generator, count, self.subsampled_share)
        subsampled = subsampled * (1 - 0.5 * chance(generator, count, 0.2))
        own = chance(generator, count, self.own_table_share).flatten()
        exponent = 1 + own * uniform(generator, count, -0.5, 0.15).flatten()
        shift = torch.randint(8, (count, 2), generator=generator)
        shift = shift * chance(generator, count, shifted).flatten()[:, None].long()
        moved = compress(_move(image, shift, 8), quality, subsampled, exponent)
        return _cut(moved, shift, (image.shape[2], image.shape[3]))


def _move(image: Tensor, shift: Tensor, margin: int) -> Tensor:
    """Move each image down and right by (B, 2) pixels into a frame that is larger by a margin."""
    padded = functional.pad(image, (margin,) * 4, mode="replicate")
    return _cut(padded, margin - shift, (image.shape[2] + margin, image.shape[3] + margin))


def _cut(image: Tensor, corner: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a window out of each image at its own corner (B, 2)."""
    windows = [
        each[:, top : top + size[0], left : left + size[1]]
        for each, (top, left) in zip(image, corner.tolist(), strict=True)
    ]
    return torch.stack(windows)


def store(image: Tensor, share: float, generator: Generator) -> Tensor:
    """Store some images as cameras and sites store photographs: JPEG at a quality of 85 to 96.

    Args:
        image: (B, 3, H, W) in [0, 1].
        share: probability that an image is stored.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    count = image.shape[0]
    chosen = chance(generator, count, share).flatten().nonzero().flatten()
    stored = image.clone()
    if chosen.numel():
        quality = uniform(generator, len(chosen), 85, 96).flatten().round()
        subsampled = chance(generator, len(chosen), 0.6)
        stored[chosen] = compress(image[chosen], quality, subsampled)
    return stored


def compress(image: Tensor, quality: Tensor, subsampled: Tensor, exponent: Tensor | None = None) -> Tensor:
    """Encode and decode a batch as JPEG.

    Args:
        image: (B, 3, H, W) in [0, 1].
        quality: (B,) between 1 and 100.
        subsampled: (B, 1, 1, 1), 1 for 4:2:0, 0.5 for 4:2:2 and 0 for 4:4:4.
        exponent: (B,) power that the tables of annex K are raised to, over their first entry; less than 1
            treats fine and coarse detail more alike. 1, the default, leaves the tables as they are.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    height, width = image.shape[-2:]
    pixels = (image.clamp(0, 1) * 255).round()
    padded = functional.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate")
    red, green, blue = padded.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    chrominance = torch.stack([(blue - luminance) / 1.772, (red - luminance) / 1.402], 1)
    powers = torch.ones_like(quality) if exponent is None else exponent
    luminance = _quantise_blocks(luminance[:, None] - 128, _table(LUMINANCE_TABLE, quality, powers)) + 128
    table = _table(CHROMINANCE_TABLE, quality, powers)
    flags = subsampled.view(-1)
    decoded = torch.empty_like(chrominance)
    for flag, step in ((0.0, (1, 1)), (0.5, (1, 2)), (1.0, (2, 2))):
        rows = (flags == flag).nonzero().flatten()
        if rows.numel():
            reduced = _quantise_blocks(functional.avg_pool2d(chrominance[rows], step), table[rows])
            size = chrominance.shape[2:]
            decoded[rows] = functional.interpolate(reduced, size=size, mode="bilinear")
    blue_part, red_part = decoded[:, :1], decoded[:, 1:]
    red = luminance + 1.402 * red_part
    green = luminance - 0.344136 * blue_part - 0.714136 * red_part
    blue = luminance + 1.772 * blue_part
    restored = torch.cat([red, green, blue], 1)[..., :height, :width]
    return restored.round().clamp(0, 255) / 255


def _table(table: tuple[tuple[int, ...], ...], quality: Tensor, exponent: Tensor) -> Tensor:
    """Scale an annex K table the way common encoders do: (B,) qualities to (B, 1, 1, 1, 8, 8)."""
    annex = torch.tensor(table, dtype=torch.float32)
    base = (annex / annex[0, 0]) ** exponent.view(-1, 1, 1, 1, 1, 1) * annex[0, 0]
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
