"""Validation: every degradation at fixed severities on crops of the validation images, always the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from polyrestore.data import Pair, mixed_seed
from polyrestore.degradations import degrade

SEVERITIES = (0.25, 0.5, 0.75)
CROP_PX = 160

# Called with the degradations of the images that come next, to activate their adapters.
Prepare = Callable[[tuple[str, ...]], None]


class Validation(Protocol):
    """What a run is measured on."""

    def degradations(self) -> dict[str, tuple[str, ...]]:
        """Return the degradations that act in each task, by task."""

    def measure(self, restore: nn.Module, prepare: Prepare | None = None) -> dict[str, float]:
        """Return the PSNR in dB by task, on outputs rounded to 8 bits, and their "mean"."""


class ValidationSet:
    """Damaged crops by degradation, made once.

    Attributes:
        degraded: (N, 3, P, P) in [0, 1] by degradation.
        clean: what they were before, by degradation.

    Args:
        images: uint8 (3, H, W) each; the centre of each is cut.
        tasks: degradations to validate.
        crops: how many images to use.
        seed: of the degradations; the name of each gives it a seed of its own.
        pairs: by degradation, pairs that take the place of images and damage.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        tasks: Sequence[str],
        crops: int = 12,
        seed: int = 1234,
        pairs: Mapping[str, Sequence[Pair]] = MappingProxyType({}),
    ) -> None:
        self.clean: dict[str, Tensor] = {}
        self.degraded: dict[str, Tensor] = {}
        for name in tasks:
            if name in pairs:
                self.degraded[name] = centres([pair.degraded for pair in pairs[name]], crops)
                self.clean[name] = centres([pair.clean for pair in pairs[name]], crops)
            else:
                self.clean[name] = centres(images, crops)
                self.degraded[name] = _damage(self.clean[name], name, mixed_seed(seed, name))

    def degradations(self) -> dict[str, tuple[str, ...]]:
        """Return the degradations that act in each task: the one that gives it its name."""
        return {name: (name,) for name in self.degraded}

    @torch.inference_mode()
    def measure(self, restore: nn.Module, prepare: Prepare | None = None) -> dict[str, float]:
        """Return the PSNR in dB by degradation, on outputs rounded to 8 bits, and their "mean".

        Args:
            restore: maps (B, 3, H, W) to (B, 3, H, W).
            prepare: called with each degradation first, to activate its adapter.
        """
        figures = {}
        device = next(restore.parameters()).device
        for name, degraded in self.degraded.items():
            if prepare is not None:
                prepare((name,))
            parts = [restore(chunk.to(device)).float().cpu() for chunk in torch.split(degraded, 4)]
            figures[name] = round(batch_psnr(torch.cat(parts), self.clean[name]), 3)
        figures["mean"] = round(sum(figures.values()) / max(1, len(figures)), 3)
        return figures


def _damage(clean: Tensor, name: str, seed: int) -> Tensor:
    generator = Generator().manual_seed(seed)
    severities = [{name: SEVERITIES[index % len(SEVERITIES)]} for index in range(len(clean))]
    parts = [degrade(crop[None], each, generator) for crop, each in zip(clean, severities, strict=True)]
    return torch.cat(parts)


def batch_psnr(restored: Tensor, clean: Tensor) -> float:
    """Return the mean PSNR in dB of images (B, 3, H, W) rounded to 8 bits, at most 80 dB each."""
    rounded = (restored.clamp(0, 1) * 255).round() / 255
    error = (rounded - clean).square().mean((1, 2, 3)).clamp(min=1e-8)
    return float((-10 * error.log10()).mean())


def centres(images: Sequence[Tensor], count: int) -> Tensor:
    """Cut the middles of the first images, uint8 (3, H, W) each: (count, 3, P, P) in [0, 1].

    P is ``CROP_PX``, or the shortest side of any of the images.
    """
    side = min([CROP_PX, *(size for image in images for size in image.shape[1:])])
    return torch.stack([centre(image, side) for image in images[:count]]).float() / 255


def centre(image: Tensor, side: int) -> Tensor:
    """Cut the square of at most ``side`` pixels out of the middle of an image (3, H, W)."""
    height, width = min(side, image.shape[1]), min(side, image.shape[2])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]
