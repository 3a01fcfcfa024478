"""Validation: every degradation at fixed severities on crops of the validation images, always the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from polyrestore.degradations import DEGRADATIONS, degrade

SEVERITIES = (0.25, 0.5, 0.75)
CROP_PX = 160


class ValidationSet:
    """Damaged crops by degradation, made once.

    Args:
        images: uint8 (3, H, W) each; the centre of each is cut.
        tasks: degradations to validate.
        crops: how many images to use.
        seed: of the degradations.
    """

    def __init__(
        self, images: Sequence[Tensor], tasks: Sequence[str], crops: int = 12, seed: int = 1234
    ) -> None:
        side = min([CROP_PX, *(size for image in images for size in image.shape[1:])])
        self.clean = torch.stack([_centre(image, side) for image in images[:crops]]).float() / 255
        self.degraded: dict[str, Tensor] = {}
        for name in tasks:
            generator = Generator().manual_seed(seed + list(DEGRADATIONS).index(name))
            parts = [
                degrade(crop[None], {name: SEVERITIES[index % len(SEVERITIES)]}, generator)
                for index, crop in enumerate(self.clean)
            ]
            self.degraded[name] = torch.cat(parts)

    @torch.inference_mode()
    def measure(self, restore: nn.Module, prepare: Callable[[str], None] | None = None) -> dict[str, float]:
        """Return the PSNR in dB by degradation, on outputs rounded to 8 bits, and their "mean".

        Args:
            restore: maps (B, 3, H, W) to (B, 3, H, W).
            prepare: called with each degradation's name first, to activate its adapter.
        """
        figures = {}
        device = next(restore.parameters()).device
        for name, degraded in self.degraded.items():
            if prepare is not None:
                prepare(name)
            parts = [restore(chunk.to(device)).float().cpu() for chunk in torch.split(degraded, 4)]
            restored = (torch.cat(parts).clamp(0, 1) * 255).round() / 255
            error = (restored - self.clean).square().mean((1, 2, 3)).clamp(min=1e-8)
            figures[name] = round(float((-10 * error.log10()).mean()), 3)
        figures["mean"] = round(sum(figures.values()) / max(1, len(figures)), 3)
        return figures


def _centre(image: Tensor, side: int) -> Tensor:
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    return image[:, top : top + side, left : left + side]
