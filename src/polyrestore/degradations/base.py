"""What a degradation is, and the random draws that all of them share.

Every random number comes from the generator that the caller passes, so the same seed gives the same image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.errors import DegradationError

STAGES = ("scene", "lens", "sensor", "file")


class DegradationFunction(Protocol):
    """Damages (B, 3, H, W) in [0, 1] with severities (B,) in [0, 1]; the shape stays."""

    def __call__(self, image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
        """Return the damaged batch."""


@dataclass(frozen=True)
class Degradation:
    """A named corruption and where it happens on the way from the scene to the file.

    Attributes:
        name: the registry name.
        stage: "scene", "lens", "sensor" or "file"; mixtures are applied in this order.
        summary: one line for people.
        apply: the corruption, with its parameters as fields.
        grey_share: probability that a photograph without colour, R = G = B, stays without.

    Raises:
        DegradationError: there is no such stage.
    """

    name: str
    stage: str
    summary: str
    apply: DegradationFunction
    grey_share: float = 1.0

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise DegradationError(f"stage {self.stage!r} of {self.name} must be one of {', '.join(STAGES)}")


def uniform(generator: Generator, count: int, low: float, high: float) -> Tensor:
    """Draw (B, 1, 1, 1) values between ``low`` and ``high``."""
    return torch.rand((count, 1, 1, 1), generator=generator) * (high - low) + low


def chance(generator: Generator, count: int, probability: float) -> Tensor:
    """Draw (B, 1, 1, 1) values that are 1 with the given probability and 0 otherwise."""
    return (torch.rand((count, 1, 1, 1), generator=generator) < probability).float()


def log_uniform(generator: Generator, count: int, low: float, high: float) -> Tensor:
    """Draw (B, 1, 1, 1) values between ``low`` and ``high`` whose logarithms are spread evenly."""
    return uniform(generator, count, math.log(low), math.log(high)).exp()


def column(severity: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1)."""
    return severity.view(-1, 1, 1, 1)


def smooth_field(generator: Generator, count: int, size: tuple[int, int], cells: int) -> Tensor:
    """Draw smooth random fields (B, 1, H, W) in [0, 1] with about ``cells`` bumps along each side."""
    coarse = torch.rand((count, 1, cells + 1, cells + 1), generator=generator)
    return functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True).clamp(0, 1)


def pixel_grid(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the row and column index of every pixel, each (1, 1, H, W)."""
    rows = torch.arange(size[0], dtype=torch.float32).view(1, 1, -1, 1)
    columns = torch.arange(size[1], dtype=torch.float32).view(1, 1, 1, -1)
    return rows.expand(1, 1, *size), columns.expand(1, 1, *size)


def box_blur(image: Tensor, window: int) -> Tensor:
    """Average (B, C, H, W) over squares of an odd side, or over as much of them as lies in the image."""
    along = functional.avg_pool2d(image, (1, window), 1, (0, window // 2), count_include_pad=False)
    return functional.avg_pool2d(along, (window, 1), 1, (window // 2, 0), count_include_pad=False)


def stretch(field: Tensor) -> Tensor:
    """Stretch each field of (B, 1, H, W) to [0, 1]."""
    low = field.amin((2, 3), keepdim=True)
    return (field - low) / (field.amax((2, 3), keepdim=True) - low).clamp(min=1e-6)


def to_linear(image: Tensor) -> Tensor:
    """Undo the display gamma of (B, 3, H, W) in [0, 1], with a plain power of 2.2."""
    return image.clamp(min=0) ** 2.2


def to_display(linear: Tensor) -> Tensor:
    """Apply the display gamma to linear light (B, 3, H, W) in [0, 1], with a plain power of 1 / 2.2."""
    return linear.clamp(min=1e-8) ** (1 / 2.2)


def radians(degrees: Tensor) -> Tensor:
    """Convert degrees to radians."""
    return degrees * (math.pi / 180)
