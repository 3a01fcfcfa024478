"""Between the samples of a video, brightness and two colour differences, and RGB in [0, 1].

The matrices and ranges are those of ITU-T H.273 (table 4, section 8.3). What a network changes is added to
the samples that there were: where it changes nothing they stay as they are, and what no RGB holds is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MATRICES: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""The shares of red and of blue in the brightness, by H.273's MatrixCoefficients, which FFmpeg uses too."""

UNSPECIFIED_MATRIX = 2


@dataclass(frozen=True)
class PixelFormat:
    """How samples are stored.

    Attributes:
        bits: of each sample.
        across: how many columns of pixels share a sample of colour.
        down: how many rows do.
    """

    bits: int
    across: int
    down: int


PIXEL_FORMATS: dict[str, PixelFormat] = {
    "yuv420p": PixelFormat(8, 2, 2),
    "yuv422p": PixelFormat(8, 2, 1),
    "yuv444p": PixelFormat(8, 1, 1),
    "yuv420p10le": PixelFormat(10, 2, 2),
    "yuv422p10le": PixelFormat(10, 2, 1),
    "yuv444p10le": PixelFormat(10, 1, 1),
}
"""FFmpeg's names of the formats that are restored as they are."""

FULL_RANGE_FORMATS: dict[str, str] = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
"""Names that say of the same format that black is 0."""

REORDERED_FORMATS: dict[str, str] = {"nv12": "yuv420p", "nv16": "yuv422p", "p010le": "yuv420p10le"}
"""Formats that hold the same samples in another order."""


@dataclass(frozen=True)
class Samples:
    """How the samples of a video are meant.

    Attributes:
        pixel_format: a key of :data:`PIXEL_FORMATS`.
        matrix: a key of :data:`MATRICES`.
        full_range: whether black is 0 and white the largest sample, and not 16 and 235 of 255.
    """

    pixel_format: str
    matrix: int
    full_range: bool

    def to_rgb(self, planes: Sequence[Tensor]) -> Tensor:
        """Return the picture that samples stand for.

        Args:
            planes: brightness (H, W), blue and red difference (h, w), whole numbers of any type.

        Returns:
            (3, H, W) float32 in [0, 1]; what lies outside is clipped.
        """
        zero, luma_range, middle, chroma_range = self._levels()
        luma = (planes[0].to(torch.float32) - zero) / luma_range
        blue, red = (
            self._spread((plane.to(torch.float32) - middle) / chroma_range, luma) for plane in planes[1:]
        )
        kr, kb = MATRICES[self.matrix]
        r = luma + 2 * (1 - kr) * red
        b = luma + 2 * (1 - kb) * blue
        g = (luma - kr * r - kb * b) / (1 - kr - kb)
        return torch.stack([r, g, b]).clamp_(0, 1)

    def add_change(self, planes: Sequence[Tensor], change: Tensor) -> list[Tensor]:
        """Return samples after a change of the picture.

        Args:
            planes: as for :meth:`to_rgb`.
            change: (3, H, W) float32, what is added to the picture.

        Returns:
            planes of the same shapes and types.
        """
        _, luma_range, _, chroma_range = self._levels()
        kr, kb = MATRICES[self.matrix]
        r, g, b = change
        luma = kr * r + (1 - kr - kb) * g + kb * b
        blue = self._gather((b - luma) / (2 * (1 - kb))) * chroma_range
        red = self._gather((r - luma) / (2 * (1 - kr))) * chroma_range
        largest = (1 << PIXEL_FORMATS[self.pixel_format].bits) - 1
        return [
            (plane.to(torch.float32) + more).round_().clamp_(0, largest).to(plane.dtype)
            for plane, more in zip(planes, (luma * luma_range, blue, red), strict=True)
        ]

    def value_of(self, luma: float) -> float:
        """Return the brightness, black 0 and white 1, that a sample stands for."""
        zero, luma_range, _, _ = self._levels()
        return (luma - zero) / luma_range

    def _levels(self) -> tuple[float, float, float, float]:
        """Return black, the range of brightness, no colour, and the range of colour, in samples."""
        bits = PIXEL_FORMATS[self.pixel_format].bits
        largest, step = float((1 << bits) - 1), float(1 << (bits - 8))
        middle = 128 * step
        return (
            (0.0, largest, middle, largest)
            if self.full_range
            else (16 * step, 219 * step, middle, 224 * step)
        )

    def _spread(self, plane: Tensor, luma: Tensor) -> Tensor:
        """Return samples of colour at every pixel: (h, w) to (H, W)."""
        form = PIXEL_FORMATS[self.pixel_format]
        height, width = luma.shape
        if form.down == 2:
            above = torch.cat([plane[:1], plane[:-1]])
            below = torch.cat([plane[1:], plane[-1:]])
            plane = torch.stack([0.75 * plane + 0.25 * above, 0.75 * plane + 0.25 * below], 1).flatten(0, 1)
        if form.across == 2:
            # A sample lies on the first of its two columns, as H.264 and its like have it unless they say so.
            right = torch.cat([plane[:, 1:], plane[:, -1:]], 1)
            plane = torch.stack([plane, (plane + right) / 2], 2).flatten(1, 2)
        return plane[:height, :width]

    def _gather(self, plane: Tensor) -> Tensor:
        """Return what samples of colour there are of values at every pixel: (H, W) to (h, w)."""
        form = PIXEL_FORMATS[self.pixel_format]
        if form.down == 2:
            if plane.shape[0] % 2:
                plane = torch.cat([plane, plane[-1:]])
            plane = (plane[::2] + plane[1::2]) / 2
        if form.across == 2:
            if plane.shape[1] % 2:
                plane = torch.cat([plane, plane[:, -1:]], 1)
            before = torch.cat([plane[:, :1], plane[:, 1:-1:2]], 1)
            plane = plane[:, ::2] / 2 + (before + plane[:, 1::2]) / 4
        return plane


def guess_matrix(height_px: int) -> int:
    """Return the matrix that is taken where a video names none: BT.709 of 720 rows or more, else BT.601."""
    return 1 if height_px >= 720 else 6
